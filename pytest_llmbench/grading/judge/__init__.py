"""What all graders that ask a judge model share: its fields, the quoting of data, and the reading of replies."""
