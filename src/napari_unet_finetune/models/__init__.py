"""The network, and models as files."""
