"""A loss for the tokens of a language model: responses of different lengths, padded, with one advantage each.

`python examples/token_loss.py` needs gipo alone; random numbers stand in for a model's log-probabilities.
"""

from __future__ import annotations

import torch
from torch import Tensor

from gipo import objectives


def token_loss(
    objective: objectives.Objective, log_pi: Tensor, log_mu: Tensor, advantage: Tensor, mask: Tensor
) -> Tensor:
    """Mean loss over the tokens of all responses.

    Args:
        objective: the method.
        log_pi: log-probability of each token under the model that learns, [B, T].
        log_mu: the same under the model that wrote them, [B, T].
        advantage: of each response, [B].
        mask: true for the tokens of the response, false for padding, bool [B, T].

    Returns:
        A scalar. Padding adds nothing to it nor to its gradient, whatever stands there.
    """
    losses = objective.loss(log_pi - log_mu, advantage[:, None], log_mu=log_mu, mask=mask)
    return losses.sum() / mask.sum()


def main() -> None:
    """One step of a made-up batch: five responses of 3 to 12 tokens."""
    torch.manual_seed(0)
    mask = torch.arange(12) < torch.tensor([12, 7, 3, 9, 5])[:, None]
    log_mu = -torch.rand(5, 12)
    log_mu[~mask] = -torch.inf  # what a padded position may hold
    log_pi = (log_mu + 0.3 * torch.randn(5, 12)).requires_grad_()
    rewards = torch.tensor([1.0, 0.0, 1.0, 0.0, 0.0])
    advantage = (rewards - rewards.mean()) / rewards.std()  # of a group of responses to one prompt
    loss = token_loss(objectives.make("gipo"), log_pi, log_mu, advantage, mask)
    loss.backward()
    assert log_pi.grad is not None
    print(f"loss {loss.item():.4f}, gradient on {int((log_pi.grad != 0).sum())} of {int(mask.sum())} tokens")


if __name__ == "__main__":
    main()
