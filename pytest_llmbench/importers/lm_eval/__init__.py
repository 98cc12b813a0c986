"""Tasks of lm-evaluation-harness, frozen, and the samples that it logs."""
