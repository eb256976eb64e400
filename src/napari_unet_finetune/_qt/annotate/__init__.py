"""Annotating: the image shown, its mask, its paint."""
