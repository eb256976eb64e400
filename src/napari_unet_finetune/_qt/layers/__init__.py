"""Layers of napari: the only room that touches a layer's data."""
