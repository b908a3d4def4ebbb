"""One run: its specification, its directory, its checkpoint, where it came from, and its record in MLflow."""
