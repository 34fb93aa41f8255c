"""Engines: libraries that run a model file, behind one small protocol."""
