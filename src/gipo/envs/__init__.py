"""Simulators behind the gymnasium API, and the reference policies that anchor the normalised score."""
