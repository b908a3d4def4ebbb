"""OpenVLA-OFT with discrete action tokens: pretrained models, what they see and say, and the RL policy."""
