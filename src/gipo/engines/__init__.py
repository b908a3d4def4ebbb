"""Engines: *when* things happen. Objectives, targets, replay and diagnostics are the same in all of them."""
