"""The project's own Python function as a model."""
