"""The command `semantic-palette`: thin calls of library code."""
