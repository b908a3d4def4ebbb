"""One run: its specification, its directory, its checkpoint and where it came from."""
