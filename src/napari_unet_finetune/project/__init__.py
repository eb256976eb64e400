"""The dataset that is being annotated, and what may be asked of it."""
