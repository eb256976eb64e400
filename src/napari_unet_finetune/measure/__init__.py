"""Objects and their measurements."""
