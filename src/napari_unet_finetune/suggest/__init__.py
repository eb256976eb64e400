"""Which images to annotate next, and why."""
