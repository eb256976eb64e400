"""One page about a training or a learning curve."""
