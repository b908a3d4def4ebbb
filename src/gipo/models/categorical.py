"""Independent categorical actions: drawing them, and their log-probability, entropy and KL in one pass each way."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

Floats = npt.NDArray[np.float32]


def log_prob_and_entropy(
    logits: Tensor, tokens: Tensor, behaviour_logits: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Log-probability of the taken token, entropy, and divergence from the behaviour policy, per action dimension.

    The gradient is written out, because autograd would keep and revisit half a dozen [B, D, K] intermediates, and at
    the paper's size (K = 256) those passes cost as much as the network's matrix products.

    Args:
        logits: unnormalised log-probabilities, [B, D, K].
        tokens: taken tokens, int64 [B, D].
        behaviour_logits: of mu, the policy that took them, [B, D, K], where they were kept.

    Returns:
        ``log pi(a_d|s)``, ``H(pi_d(.|s))`` and ``KL(mu_d || pi_d)`` in nats, each [B, D]; the last one is None without
        the behaviour's logits.
    """
    if behaviour_logits is None:
        log_probs, entropies = _Categorical.apply(logits, tokens)
        return log_probs, entropies, None
    log_probs, entropies, divergences = _CategoricalAndKL.apply(logits, tokens, behaviour_logits)
    return log_probs, entropies, divergences


class _Categorical(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, logits: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor]:
        log_p = torch.log_softmax(logits, dim=-1)
        p = log_p.exp()
        entropies = -torch.linalg.vecdot(p, log_p)
        ctx.save_for_backward(log_p, p, entropies, tokens)
        return log_p.gather(-1, tokens[..., None]).squeeze(-1), entropies

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        """``d log pi(a) = onehot(a) - p`` and ``d H = -p (log p + H)``, each times its incoming gradient."""
        grad_log_prob, grad_entropy = grads
        log_p, p, entropies, tokens = ctx.saved_tensors
        grad = log_p + entropies[..., None]
        grad.mul_(-grad_entropy[..., None]).sub_(grad_log_prob[..., None]).mul_(p)
        return grad.scatter_add_(-1, tokens[..., None], grad_log_prob[..., None]), None


class _CategoricalAndKL(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, logits: Tensor, tokens: Tensor, behaviour_logits: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        log_p, log_mu = torch.log_softmax(logits, dim=-1), torch.log_softmax(behaviour_logits, dim=-1)
        p, mu = log_p.exp(), log_mu.exp()
        entropies = -torch.linalg.vecdot(p, log_p)
        ctx.save_for_backward(log_p, p, mu, entropies, tokens)
        return log_p.gather(-1, tokens[..., None]).squeeze(-1), entropies, torch.linalg.vecdot(mu, log_mu.sub_(log_p))

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        """As in `_Categorical`, and ``d KL = p - mu`` times its incoming gradient."""
        grad_log_prob, grad_entropy, grad_kl = grads
        log_p, p, mu, entropies, tokens = ctx.saved_tensors
        grad = log_p + entropies[..., None]
        grad.mul_(-grad_entropy[..., None]).add_((grad_kl - grad_log_prob)[..., None]).mul_(p)
        grad.addcmul_(mu, grad_kl[..., None], value=-1)
        return grad.scatter_add_(-1, tokens[..., None], grad_log_prob[..., None]), None, None


def sample_tokens(logits: Floats, uniforms: Floats) -> tuple[npt.NDArray[np.uint8], Floats]:
    """Tokens by inversion of the policy's distribution function, and their log-probabilities.

    Args:
        logits: [N, D, K]; shifted by a number for each distribution, which changes none.
        uniforms: numbers in [0, 1), [N, D].

    Returns:
        Tokens uint8 [N, D] and ``log mu`` float32 [N, D].
    """
    logits -= logits.max(axis=-1, keepdims=True)
    cumulated = np.exp(logits).cumsum(axis=-1)
    total = cumulated[..., -1]
    tokens = (cumulated <= (uniforms * total)[..., None]).sum(axis=-1)
    tokens = np.minimum(tokens, logits.shape[-1] - 1)  # uniforms * total may round up to total
    taken = np.take_along_axis(logits, tokens[..., None], axis=-1)[..., 0]
    return tokens.astype(np.uint8), taken - np.log(total)
