"""Explanations graded by the points they must make: by patterns, or by a judge model."""
