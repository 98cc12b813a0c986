"""Reports in Markdown: the summary of a run, and of two compared."""
