"""Questions asked from the dock, and their answers."""
