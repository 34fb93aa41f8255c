"""The image service: images from layouts."""
