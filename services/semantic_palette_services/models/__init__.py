"""The model service: which bundles a process has in memory, and which version of each is active."""
