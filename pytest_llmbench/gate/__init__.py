"""Two runs compared, and the rule that decides whether the candidate is no worse than the baseline."""
