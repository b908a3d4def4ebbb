"""GIPO: Gaussian Importance Sampling Policy Optimization (arXiv 2603.03955), the reproduction suite."""
