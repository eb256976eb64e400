"""A run as a folder, and how it is carried out."""
