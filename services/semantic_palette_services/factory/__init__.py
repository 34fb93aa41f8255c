"""The factory service: labelled pairs, composed from the other three services."""
