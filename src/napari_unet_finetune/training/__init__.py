"""Finetune: patches, augmentation, losses, the loop and its state."""
