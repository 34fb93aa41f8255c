"""Synthetic labelled scenes, steered by class proportions."""
