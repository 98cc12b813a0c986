"""Several checks a case: one module per group of kinds, and what they have in common."""
