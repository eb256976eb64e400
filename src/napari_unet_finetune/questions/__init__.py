"""Questions about a dataset and a model, and their answers."""
