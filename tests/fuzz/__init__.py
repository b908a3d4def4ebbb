"""Damaged files, one after the other, into everything that reads files: the answer is a result or one line."""
