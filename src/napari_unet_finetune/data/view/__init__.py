"""What a network sees of pixels: how intensities are measured over an image and changed, and how its size is."""
