"""Networks of other programs."""
