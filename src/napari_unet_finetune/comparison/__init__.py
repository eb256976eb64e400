"""Models times images."""
