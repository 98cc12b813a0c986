"""From the files of other tools to suites, and what each kind of source needs for it."""
