"""Writers of pairs, one file a format."""
