"""Models behind an OpenAI-compatible HTTP API, and local servers of that kind."""
