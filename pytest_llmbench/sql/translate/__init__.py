"""From the dialect a model writes to the DuckDB query that runs."""
