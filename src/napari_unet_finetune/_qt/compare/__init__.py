"""Comparing models on images, and the learning curve."""
