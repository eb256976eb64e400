"""Predicting images and folders, and measuring what was found."""
