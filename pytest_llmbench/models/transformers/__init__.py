"""Models run in this process with torch and transformers."""
