"""The project's own service behind a URL as a model."""
