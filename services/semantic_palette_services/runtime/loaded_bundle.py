"""A bundle in memory: its palette model, and its models behind engines and batchers."""
