"""The palette service: label spaces and palettes; needs no inference runtime."""
