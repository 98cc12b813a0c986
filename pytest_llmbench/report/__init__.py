"""Reports: pure functions of a run or a comparison."""
