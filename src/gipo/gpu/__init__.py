"""Checks whether the GPUs of this machine do what this software needs, and how fast: `gipo doctor --gpu`."""
