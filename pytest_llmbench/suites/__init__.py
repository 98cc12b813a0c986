"""Suite files: loaded, checked, and rendered to prompts."""
