"""Advantages and value targets as a run asks for them."""

from __future__ import annotations

import torch
from torch import Tensor

from gipo import targets
from gipo.runs.spec import LearnerSpec


def estimate(
    rewards: Tensor,
    values: Tensor,
    successors: Tensor,
    terminated: Tensor,
    truncated: Tensor,
    learner: LearnerSpec,
    log_ratios: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Advantages and value targets by the learner's estimator, reward scale and meaning of the time limit.

    Args:
        rewards: ``r_t`` as the simulator gave them, [S, T].
        values: ``V(s_t)``, [S, T].
        successors: ``V(s_{t+1})`` of the true successor state, [S, T]; see `gipo.targets.next_values`.
        terminated: the task ended after this step, bool [S, T].
        truncated: the time limit cut the trajectory after this step, bool [S, T].
        learner: its settings.
        log_ratios: ``log pi - log mu`` of the joint action, [S, T]; V-trace needs them.

    Returns:
        Both [S, T].
    """
    if not learner.truncation_bootstraps:
        terminated, truncated = terminated | truncated, torch.zeros_like(truncated)
    transitions = (rewards * learner.reward_scale, values, successors, terminated, truncated)
    if learner.estimator == "gae":
        return targets.gae(*transitions, gamma=learner.gamma, lam=learner.gae_lambda)
    assert log_ratios is not None
    advantages, value_targets = targets.vtrace(*transitions, log_ratios, gamma=learner.gamma)
    if learner.vtrace_weighted:
        advantages = advantages * log_ratios.exp().clamp(max=1.0)
    return advantages, value_targets
