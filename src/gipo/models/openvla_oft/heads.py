"""The value head of the RL policy."""

from __future__ import annotations

from torch import Tensor, nn


class ValueHead(nn.Module):
    """Attention pooling over the action hidden states, then LayerNorm-Linear-ReLU-Linear [C].

    Pooling weights are the softmax of one learned score per state [R].

    Args:
        hidden: width of the language model, and of the hidden layer (4096 at 7B).
    """

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.score = nn.Linear(hidden, 1)
        self.mlp = nn.Sequential(nn.LayerNorm(hidden), nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, 1))

    def forward(self, states: Tensor) -> Tensor:
        """Values [B] of hidden states [B, 56, hidden]."""
        weights = self.score(states).softmax(dim=1)
        return self.mlp((weights * states).sum(dim=1)).squeeze(-1)
