"""Records of a run, the file they are written to, and metrics over many of them."""
