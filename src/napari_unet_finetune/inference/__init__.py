"""Image in, labels out."""
