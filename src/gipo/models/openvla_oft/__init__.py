"""OpenVLA-OFT with discrete action tokens: published checkpoints, what they see and say, and the RL policy."""
