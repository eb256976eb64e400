"""What the child process does."""
