"""The table of images, and what fills it."""
