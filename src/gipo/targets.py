"""Advantages and value targets over trajectory segments: GAE and V-trace.

All tensors are ``[..., T]``: time is the last dimension, and what comes before it is any number of segments. `gae` and
`vtrace` take whatever a segment may hold; where nothing but the end of the task cuts a trajectory, `trajectory_gae` and
`trajectory_vtrace` need rewards, values and the value of the state after the last step.

A *termination* ends the task: nothing follows, the next state's value is 0. A *truncation* is a time limit: the
trajectory stops but the task would go on, so the value of the last state bootstraps. The released code treats the
time limit as a termination [C]; ``truncation_bootstraps: false`` follows it.
"""

from __future__ import annotations

import torch
from torch import Tensor


def next_values(values: Tensor, cut: Tensor, final_values: Tensor, cut_values: Tensor) -> Tensor:
    """Value of each step's true successor state.

    Args:
        values: ``V(s_t)``, [..., T].
        cut: the trajectory was cut after this step (terminated or truncated), bool [..., T]; inside once at most.
        final_values: value of the state after the segment's last step, [...].
        cut_values: value of the state at the cut inside the segment, [...]; ignored where there is none.

    Returns:
        ``V(s_{t+1})``, [..., T].
    """
    successors = torch.cat([values[..., 1:], final_values[..., None]], dim=-1)
    inside = cut.clone()
    inside[..., -1] = False
    return torch.where(inside, cut_values[..., None], successors)


def gae(
    rewards: Tensor,
    values: Tensor,
    successors: Tensor,
    terminated: Tensor,
    truncated: Tensor,
    gamma: float,
    lam: float,
) -> tuple[Tensor, Tensor]:
    """Generalised advantage estimation (gamma = 0.99, lambda = 0.95 [C]).

    Args:
        rewards: ``r_t``, [..., T].
        values: ``V(s_t)``, [..., T].
        successors: ``V(s_{t+1})`` of the true successor state, [..., T]; see `next_values`.
        terminated: the task ended after this step, bool [..., T].
        truncated: the time limit cut the trajectory after this step, bool [..., T].
        gamma: discount.
        lam: GAE's lambda.

    Returns:
        Advantages and value targets (advantage + value), both [..., T].
    """
    deltas = rewards + gamma * successors * ~terminated - values
    goes_on = ~(terminated | truncated)
    advantages = _discounted_sums(deltas, gamma * lam * goes_on.to(rewards.dtype))
    return advantages, advantages + values


def vtrace(
    rewards: Tensor,
    values: Tensor,
    successors: Tensor,
    terminated: Tensor,
    truncated: Tensor,
    log_ratios: Tensor,
    gamma: float,
    rho_bar: float = 1.0,
    c_bar: float = 1.0,
) -> tuple[Tensor, Tensor]:
    """V-trace targets and policy-gradient advantages (Espeholt et al. 2018; supplementary setting C.1).

    Args:
        rewards: ``r_t``, [..., T].
        values: ``V(s_t)``, [..., T].
        successors: ``V(s_{t+1})`` of the true successor state, [..., T].
        terminated: the task ended after this step, bool [..., T].
        truncated: the time limit cut the trajectory after this step, bool [..., T].
        log_ratios: ``log pi - log mu`` of the joint action (summed over its dimensions), [..., T].
        gamma: discount.
        rho_bar: cap of the temporal-difference weights.
        c_bar: cap of the trace-cutting weights.

    Returns:
        Advantages ``r_t + gamma v_{t+1} - V(s_t)`` and value targets ``v_t``, both [..., T]. The advantages carry no
        importance weight: the policy objective applies its own.
    """
    rho = log_ratios.exp().clamp(max=rho_bar)
    cut = terminated | truncated
    deltas = rho * (rewards + gamma * successors * ~terminated - values)
    traces = log_ratios.exp().clamp(max=c_bar)
    corrections = _discounted_sums(deltas, gamma * traces * ~cut)
    targets = values + corrections
    next_targets = torch.where(cut, successors, torch.cat([targets[..., 1:], successors[..., -1:]], dim=-1))
    return rewards + gamma * next_targets * ~terminated - values, targets


def trajectory_gae(
    rewards: Tensor,
    values: Tensor,
    bootstrap: Tensor | float,
    terminated: Tensor | None = None,
    *,
    gamma: float,
    lam: float,
) -> tuple[Tensor, Tensor]:
    """`gae` of trajectories that are cut nowhere but where the task ends.

    Args:
        rewards: ``r_t``, [..., T].
        values: ``V(s_t)``, [..., T].
        bootstrap: value of the state after the last step, a number or [...]; it does not count where the task ended.
        terminated: the task ended after this step, bool [..., T]; nowhere, if it is None.
        gamma: discount.
        lam: GAE's lambda.

    Returns:
        Advantages and value targets (advantage + value), both [..., T].
    """
    return gae(*_trajectory(rewards, values, bootstrap, terminated), gamma, lam)


def trajectory_vtrace(
    rewards: Tensor,
    values: Tensor,
    bootstrap: Tensor | float,
    log_ratios: Tensor,
    terminated: Tensor | None = None,
    *,
    gamma: float,
    rho_bar: float = 1.0,
    c_bar: float = 1.0,
) -> tuple[Tensor, Tensor]:
    """`vtrace` of trajectories that are cut nowhere but where the task ends.

    Args:
        rewards: ``r_t``, [..., T].
        values: ``V(s_t)``, [..., T].
        bootstrap: value of the state after the last step, a number or [...]; it does not count where the task ended.
        log_ratios: ``log pi - log mu`` of the joint action (summed over its dimensions), [..., T].
        terminated: the task ended after this step, bool [..., T]; nowhere, if it is None.
        gamma: discount.
        rho_bar: cap of the temporal-difference weights.
        c_bar: cap of the trace-cutting weights.

    Returns:
        Advantages and value targets as of `vtrace`, both [..., T].
    """
    return vtrace(*_trajectory(rewards, values, bootstrap, terminated), log_ratios, gamma, rho_bar, c_bar)


def _trajectory(
    rewards: Tensor, values: Tensor, bootstrap: Tensor | float, terminated: Tensor | None
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Rewards, values, successors, terminated and truncated, as `gae` and `vtrace` take them."""
    nowhere = torch.zeros_like(values, dtype=torch.bool)
    last = torch.as_tensor(bootstrap, dtype=values.dtype, device=values.device).expand(values.shape[:-1])
    successors = next_values(values, nowhere, last, last)
    return rewards, values, successors, nowhere if terminated is None else terminated.bool(), nowhere


def _discounted_sums(terms: Tensor, decay: Tensor) -> Tensor:
    """``y_t = x_t + decay_t * y_{t+1}`` backwards in time, with ``y_T = 0``; [..., T]."""
    sums = torch.empty_like(terms)
    running = torch.zeros_like(terms[..., 0])
    for t in reversed(range(terms.shape[-1])):
        running = terms[..., t] + decay[..., t] * running
        sums[..., t] = running
    return sums
