"""The learner: one update of policy and value from sampled transitions (eq. 6, 9-11)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

import torch
from torch import Tensor, nn

from gipo import diagnostics, objectives, targets
from gipo.errors import GipoError
from gipo.lag import Batch, Replay, Segments
from gipo.models.categorical import log_prob_and_entropy
from gipo.models.mlp import MLPPolicy
from gipo.runs.spec import LearnerSpec, RunSpec


@dataclass(frozen=True)
class Losses:
    """Terms of the loss on one micro-batch, and what the diagnostics need of it."""

    policy: Tensor
    value: Tensor
    entropy: Tensor
    kl: Tensor  # KL(mu || pi)
    log_ratios: Tensor  # [B, D]
    advantages: Tensor  # [B], normalised
    values: Tensor  # [B]
    batch: Batch


class ParameterVector:
    """Parameters and their gradients as one contiguous vector each, of which they become views.

    Norm, clipping and AdamW are elementwise: over one vector they cost one kernel each instead of one per tensor, a
    tenth of an update at the laptop's size.
    """

    def __init__(self, parameters: Sequence[nn.Parameter]) -> None:
        self.vector = nn.Parameter(torch.cat([parameter.detach().flatten() for parameter in parameters]))
        self.gradient = torch.zeros_like(self.vector)
        sizes = [parameter.numel() for parameter in parameters]
        for parameter, data, gradient in zip(
            parameters, self.vector.detach().split(sizes), self.gradient.split(sizes), strict=True
        ):
            parameter.data = data.view_as(parameter)
            parameter.grad = gradient.view_as(parameter)


class Learner:
    """Model, optimiser and schedule of one run.

    Args:
        spec: the run.
        observation_size: length of an observation.
        action_dimensions: D.
        device: where the model lives.
    """

    def __init__(
        self, spec: RunSpec, observation_size: int, action_dimensions: int, device: torch.device | str = "cpu"
    ) -> None:
        self.spec = spec
        self.objective = objectives.make(spec.objective.name, **spec.objective.parameters)
        self.updates = 0
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(int(spec.generator(0).integers(2**63)))
            self.model = make_model(spec, observation_size, action_dimensions).to(device)
        self.policy = ParameterVector(self.model.policy_parameters())
        self.value = ParameterVector(self.model.value_parameters())
        self.optimizer = torch.optim.AdamW([{"params": [v.vector]} for v in (self.policy, self.value)], fused=True)

    def targets(self, segments: Segments) -> tuple[Tensor, Tensor]:
        """Advantages and value targets of segments under the current model, both [S, T]."""
        learner = self.spec.learner
        values = self.model.values(segments.observations)
        truncated = segments.truncated
        terminated = segments.terminated
        if not learner.truncation_bootstraps:
            truncated, terminated = torch.zeros_like(truncated), terminated | truncated
        successors = targets.next_values(
            values,
            terminated | truncated,
            self.model.values(segments.final_observation),
            self.model.values(segments.cut_observation),
        )
        transitions = (segments.rewards * learner.reward_scale, values, successors, terminated, truncated)
        if learner.estimator == "gae":
            return targets.gae(*transitions, gamma=learner.gamma, lam=learner.gae_lambda)
        log_ratios = (self._log_probs(segments) - segments.log_probs).sum(-1)
        return targets.vtrace(*transitions, log_ratios, gamma=learner.gamma)

    def losses(self, batch: Batch) -> Losses:
        """Forward pass over a micro-batch; advantages are normalised over it [C]."""
        advantages = (batch.advantages - batch.advantages.mean()) / (batch.advantages.std() + 1e-8)
        logits, values = self.model(batch.observations)
        log_probs, entropies = log_prob_and_entropy(logits, batch.tokens)
        log_ratios = log_probs - batch.log_probs
        return Losses(
            policy=self.objective.loss(log_ratios, advantages[:, None]).mean(),
            value=(values - batch.targets).square().mean(),
            entropy=entropies.mean(),
            kl=-log_ratios.mean(),  # exact in expectation: the tokens are mu's, of which only these log-probs are kept
            log_ratios=log_ratios.detach(),
            advantages=advantages,
            values=values.detach(),
            batch=batch,
        )

    def update(self, replay: Replay, index: Tensor) -> tuple[Losses, dict[str, Tensor]]:
        """One optimiser step.

        Args:
            replay: where the transitions lie.
            index: flat positions in the replay, int64 [accumulation, batch_size].

        Returns:
            Losses of the last micro-batch, and the gradient norms before clipping.

        Raises:
            GipoError: a loss or a gradient is NaN or infinite; names the update and the statistic.
        """
        learner = self.spec.learner
        self.policy.gradient.zero_()
        self.value.gradient.zero_()
        parts, check = [], torch.zeros(())
        for positions in index:
            losses = self.losses(replay.gather(positions))
            loss = self._total(losses) / len(index)
            loss.backward()
            parts.append(losses)
            check = check + loss.detach()
        norms = {
            "grad_norm_policy": self.policy.gradient.norm(),
            "grad_norm_value": self.value.gradient.norm(),
        }
        norm = torch.hypot(norms["grad_norm_policy"], norms["grad_norm_value"])
        if not math.isfinite(check + norm):
            self._raise_non_finite(parts, norms)
        clip = (learner.gradient_clip / norm).clamp(max=1)
        self.policy.vector.grad = self.policy.gradient.mul_(clip) if self._moves_policy else None
        self.value.vector.grad = self.value.gradient.mul_(clip)
        factor = schedule(self.updates, learner)
        rates = (learner.policy_learning_rate, learner.value_learning_rate)
        for group, rate in zip(self.optimizer.param_groups, rates, strict=True):
            group["lr"] = rate * factor
        self.optimizer.step()
        self.updates += 1
        return losses, norms

    @torch.no_grad()
    def metrics(self, losses: Losses, norms: dict[str, Tensor]) -> dict[str, float]:
        """The logged row of the update just made; columns as in `gipo.analysis.collect`."""
        gap = self.updates - 1 - losses.batch.versions
        multiplier = self.objective.multiplier(losses.log_ratios, losses.advantages[:, None])
        old_gap = self.spec.old_gap_updates
        row = {
            "loss_policy": losses.policy,
            "loss_value": losses.value,
            "entropy": losses.entropy,
            "kl": losses.kl,
            **norms,
            "explained_variance": diagnostics.explained_variance(losses.values, losses.batch.targets),
            **diagnostics.staleness(gap, old_gap),
            **diagnostics.ratio_tails(losses.log_ratios),
            **diagnostics.utilisation(multiplier, losses.advantages, gap, old_gap),
        }
        rate = self.spec.learner.policy_learning_rate * schedule(self.updates - 1, self.spec.learner)
        return {name: float(value) for name, value in row.items()} | {"learning_rate": rate}

    def state(self) -> dict[str, Any]:
        """Model, optimiser and update count, for a checkpoint."""
        return {
            "updates": self.updates,
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Restore what `state` returned."""
        self.updates = state["updates"]
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])

    @torch.no_grad()
    def _log_probs(self, segments: Segments) -> Tensor:
        logits = self.model.logits(segments.observations.flatten(0, 1))
        log_probs, _ = log_prob_and_entropy(logits, segments.tokens.flatten(0, 1).long())
        return log_probs.view(segments.log_probs.shape)

    @property
    def _moves_policy(self) -> bool:
        return self.updates >= self.spec.learner.policy_start

    def _total(self, losses: Losses) -> Tensor:
        """Eq. 9-11; before `policy_start`, the value's part alone."""
        learner = self.spec.learner
        value = learner.value_coefficient * losses.value
        if not self._moves_policy:
            return value
        return losses.policy + value - learner.entropy_coefficient * losses.entropy + learner.kl_coefficient * losses.kl

    def _raise_non_finite(self, parts: list[Losses], norms: dict[str, Tensor]) -> NoReturn:
        statistics = [
            (name, value)
            for part in parts
            for name, value in (("loss_policy", part.policy), ("loss_value", part.value), ("kl", part.kl))
        ]
        name, value = next(item for item in [*statistics, *norms.items()] if not math.isfinite(item[1].detach()))
        raise GipoError(f"update {self.updates}: {name} is {value:.4g}; run {self.spec.run_id} cannot go on")


def make_model(spec: RunSpec, observation_size: int, action_dimensions: int) -> MLPPolicy:
    """The untrained model of a run."""
    return MLPPolicy(
        observation_size, action_dimensions, spec.environment.bins, spec.network.hidden, spec.network.value_hidden
    )


def schedule(update: int, learner: LearnerSpec) -> float:
    """Factor on the learning rates: linear warm-up, then cosine to 0 at the last update [C]."""
    if update < learner.warmup_updates:
        return (update + 1) / learner.warmup_updates
    progress = (update - learner.warmup_updates) / max(1, learner.updates - learner.warmup_updates)
    return 0.5 * (1 + math.cos(math.pi * progress))
