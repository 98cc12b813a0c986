"""A run as one HTML file: what to decide, why, and every answer beside the others. Pure functions."""
