"""Policies: networks that map observations to logits over discretised actions and to a value."""
