"""Images and masks: find, read, pair, check, normalise and split them; NumPy only."""
