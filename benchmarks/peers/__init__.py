"""Other servers, each with the image model of a bundle behind it, for `benchmarks/serving_peers.py`."""
