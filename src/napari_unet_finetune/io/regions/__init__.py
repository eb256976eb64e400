"""Images that are read in parts."""
