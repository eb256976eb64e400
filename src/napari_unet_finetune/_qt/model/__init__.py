"""The base model: choosing it and showing what it is."""
