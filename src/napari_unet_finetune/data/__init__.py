"""Images and masks: find, read, pair, check, normalize and split them; NumPy only."""
