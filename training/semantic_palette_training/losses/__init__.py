"""Training objectives, each from its equation."""
