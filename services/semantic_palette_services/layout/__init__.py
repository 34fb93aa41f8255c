"""The layout service: layouts from palettes."""
