"""Configurations of promptfoo."""
