"""What a step of a training learns from: prepared images, the patches cut from them, and batches of these."""
