"""The face of the package in napari; nothing outside imports from here."""
