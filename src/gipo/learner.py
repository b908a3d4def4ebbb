"""The learner: one update of policy and value from sampled transitions (eq. 6, 9-11)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from gipo import diagnostics, objectives, targets
from gipo.cuda_graph import Step
from gipo.errors import GipoError
from gipo.estimator import estimate
from gipo.models.categorical import log_prob_and_entropy
from gipo.models.mlp import MLPPolicy, make_model
from gipo.replay import Batch, Replay, Segments
from gipo.runs.spec import RunSpec
from gipo.runs.streams import Stream
from gipo.tables import STATISTICS


@contextmanager
def untrained_weights(spec: RunSpec) -> Iterator[None]:
    """Weights that are made in this context, on the CPU, follow from the run's seed alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(spec.generator(Stream.WEIGHTS).integers(2**63)))
        yield


class Transitions(Protocol):
    """Holds the transitions that a learner learns from: a replay, or batches that were sampled in another process."""

    device: torch.device
    observation_size: int
    action_dimensions: int

    def gather(self, index: Tensor) -> Batch:
        """The transitions at flat positions, int64 [B]."""


@dataclass(frozen=True)
class Losses:
    """Terms of the loss on a micro-batch, and what the diagnostics need of it."""

    policy: Tensor
    value: Tensor
    entropy: Tensor
    kl: Tensor  # KL(mu || pi)
    log_ratios: Tensor  # [B, D]
    normalised_advantages: Tensor  # [B]
    values: Tensor  # [B]
    targets: Tensor  # [B]
    gap: Tensor  # int64 [B], updates since each transition was collected
    log_mu: Tensor  # [B, D], of what the log-ratios are of

    def detached(self) -> Losses:
        """The same numbers without the graph that led to them."""
        return Losses(**{name: tensor.detach() for name, tensor in vars(self).items()})


class ParameterVector:
    """Parameters and their gradients as one contiguous vector each, of which they become views.

    Norm, clipping and AdamW are elementwise: over one vector they cost one kernel each instead of one per tensor, a
    tenth of an update at the laptop's size.
    """

    def __init__(self, parameters: Sequence[nn.Parameter]) -> None:
        self.vector = nn.Parameter(torch.cat([parameter.detach().flatten() for parameter in parameters]))
        self.gradient = torch.zeros_like(self.vector)
        sizes = [parameter.numel() for parameter in parameters]
        parts = zip(parameters, self.vector.detach().split(sizes), self.gradient.split(sizes), strict=True)
        self.gradients: list[Tensor] = []
        """The gradient of each parameter, as a view."""
        for parameter, data, gradient in parts:
            parameter.data = data.view_as(parameter)
            parameter.grad = gradient.view_as(parameter)
            self.gradients.append(parameter.grad)


class UpdateRule:
    """The loss of an update and its logged statistics; subclasses hold the parameters in different ways."""

    spec: RunSpec
    objective: objectives.Objective
    model: nn.Module
    updates: int
    """Updates made."""
    now: Tensor
    """Updates made before the one under way, int64 on the device."""
    rates: dict[str, Tensor]
    """Learning rates of policy and value, on the device."""
    health: Health

    def losses(self, batch: Batch, advantages: Tensor) -> Losses:
        """Forward pass over a micro-batch with normalised advantages [B]."""
        logits, values = self.model(batch.observations)
        log_probs, entropies, divergences = log_prob_and_entropy(logits, batch.tokens, batch.logits)
        log_mu, log_ratios = batch.log_probs, log_probs - batch.log_probs
        kl = -log_ratios.mean() if divergences is None else divergences.mean()  # equal in expectation: tokens are mu's
        if self.spec.learner.joint_ratio:
            log_mu, log_ratios = log_mu.sum(-1, keepdim=True), log_ratios.sum(-1, keepdim=True)
        gap = self.now - batch.versions
        return Losses(
            policy=self.objective.loss(log_ratios, advantages[:, None], log_mu=log_mu, gap=gap[:, None]).mean(),
            value=(values - batch.targets).square().mean(),
            entropy=entropies.mean(),
            kl=kl,
            log_ratios=log_ratios,
            normalised_advantages=advantages,
            values=values,
            targets=batch.targets,
            gap=gap,
            log_mu=log_mu,
        )

    def normalised(self, batches: Sequence[Batch]) -> Tensor:
        """Advantages of an update's micro-batches, [M, B], with mean 0 and standard deviation 1."""
        advantages = torch.stack([batch.advantages for batch in batches])
        learner = self.spec.learner
        over = (0, 1) if learner.advantage_scope == "update" else 1
        correction = 1 if learner.advantage_deviation == "sample" else 0
        deviation, mean = torch.std_mean(advantages, over, correction=correction, keepdim=True)
        return (advantages - mean) / (deviation + 1e-8)

    def check(self) -> None:
        """Wait for the updates so far.

        Raises:
            GipoError: in one of them a loss or a gradient was NaN or infinite; names the update and the statistic.
        """
        if failure := self.health.failure():
            update, name, value = failure
            raise GipoError(f"update {update}: {name} is {value:.4g}; run {self.spec.run_id} cannot go on")

    def trained(self) -> dict[str, Tensor]:
        """The tensors that a policy is made of again, themselves."""
        return self.model.state_dict()

    def weights(self) -> dict[str, Tensor]:
        """A copy of `trained` in main memory."""
        return {name: tensor.detach().to("cpu", copy=True) for name, tensor in self.trained().items()}

    def is_due(self, every: int) -> bool:
        """Whether what happens every so many updates, and after the last one, happens now."""
        return self.updates % every == 0 or self.updates == self.spec.learner.updates

    @torch.no_grad()
    def metrics(self, losses: Losses, norms: dict[str, Tensor]) -> Tensor:
        """The logged row of the update just made, still on the device: `gipo.tables.STATISTICS`, float32 [columns]."""
        gap, advantages = losses.gap[:, None], losses.normalised_advantages[:, None]
        multiplier = self.objective.multiplier(losses.log_ratios, advantages, log_mu=losses.log_mu, gap=gap)
        old_gap = self.spec.old_gap_updates
        row = {
            "loss_policy": losses.policy,
            "loss_value": losses.value,
            "entropy": losses.entropy,
            "kl": losses.kl,
            **norms,
            "learning_rate": self.rates["policy"],
            "explained_variance": diagnostics.explained_variance(losses.values, losses.targets),
            **diagnostics.staleness(gap, old_gap),
            **diagnostics.ratio_tails(losses.log_ratios),
            **diagnostics.utilisation(multiplier, losses.log_ratios, advantages, gap, old_gap),
        }
        return torch.stack([row[name] for name in STATISTICS])

    def set_rates(self) -> bool:
        """Set the learning rates and the time of the next update; whether it moves the policy."""
        self.now.fill_(self.updates)
        learner = self.spec.learner
        start = learner.policy_start if learner.policy_warmup == "from-policy-start" else 0
        self.rates["policy"].fill_(learner.policy_learning_rate * schedule(self.updates, self.spec, start))
        self.rates["value"].fill_(learner.value_learning_rate * schedule(self.updates, self.spec))
        since_start = self.updates - learner.policy_start
        return since_start >= 0 and since_start % learner.policy_every == 0

    def total(self, losses: Losses, moves_policy: bool) -> Tensor:
        """Eq. 9-11, or the value's part alone."""
        learner = self.spec.learner
        value = learner.value_coefficient * losses.value
        if not moves_policy:
            return value
        return losses.policy + value - learner.entropy_coefficient * losses.entropy + learner.kl_coefficient * losses.kl


class Learner(UpdateRule):
    """Model, optimiser and schedule of one run, on the device of its replay.

    Nothing in an update waits for the device: rates, failures and logged statistics stay there until asked for.

    Args:
        spec: the run.
        replay: where the transitions lie.
    """

    model: MLPPolicy

    def __init__(self, spec: RunSpec, replay: Transitions) -> None:
        self.spec, self.replay = spec, replay
        self.objective = objectives.make(spec.objective.name, **spec.objective.parameters)
        self.updates = 0
        device = replay.device
        with untrained_weights(spec):
            self.model = make_model(spec, replay.observation_size, replay.action_dimensions).to(device)
        self.policy = ParameterVector(self.model.policy_parameters())
        self.value = ParameterVector(self.model.value_parameters())
        self.now = torch.zeros((), dtype=torch.int64, device=device)
        self.rates = {name: torch.zeros((), device=device) for name in ("policy", "value")}
        self.optimizer = torch.optim.AdamW(
            [
                {"params": [part.vector], "lr": rate}
                for part, rate in zip(self._parts, self.rates.values(), strict=True)
            ],
            weight_decay=spec.learner.weight_decay,
            fused=True,
            capturable=device.type == "cuda",
        )
        shape = (spec.learner.accumulation, spec.learner.batch_size)
        self.index = torch.zeros(shape, dtype=torch.int64, device=device)
        self.health = Health(device)
        captured = spec.learner.targets == "stored"  # else it depends on the data how many segments an update takes
        self._steps = {moves: Step(partial(self.step, moves), device, captured) for moves in (False, True)}
        self._features = torch.zeros(*shape, spec.network.hidden, device=device)
        self._value_targets = torch.zeros(shape, device=device)
        self._has_features = False
        self._look_step = Step(self._look, device, captured)
        self._value_step = Step(self._learn_value, device)

    def targets(self, segments: Segments, bootstraps: bool = False) -> tuple[Tensor, Tensor]:
        """Advantages and value targets of segments under the current model, both [S, T].

        With ``bootstraps`` a truncation is no time limit: the value of the last observation stands for what follows.
        """
        settings = self.spec.learner
        settings = settings.model_copy(update={"truncation_bootstraps": True}) if bootstraps else settings
        values = self.model.values(segments.observations)
        successors = targets.next_values(
            values,
            segments.terminated | segments.truncated,
            self.model.values(segments.final_observation),
            self.model.values(segments.cut_observation),
        )
        log_ratios = None
        if settings.estimator == "vtrace":
            log_ratios = (self._log_probs(segments) - segments.log_probs).sum(-1)
        ends = segments.terminated, segments.truncated
        return estimate(segments.rewards, values, successors, *ends, settings, log_ratios)

    def update(self, index: Tensor, again: bool = False) -> tuple[Losses | None, dict[str, Tensor]]:
        """One optimiser step.

        Args:
            index: flat positions in the replay, int64 [accumulation, batch_size].
            again: they are those of the update before: what the value sees is computed again only if the policy moved.

        Returns:
            Losses of the last micro-batch, without their graph, and the gradient norms before clipping; valid until the
            next update. Losses are None where the policy was not needed: it does not move, and nothing is logged.
        """
        self.index.copy_(index)
        moves_policy = self.set_rates()
        self.updates += 1
        if moves_policy or not self.model.detach_value or self.is_due(self.spec.diagnostics.every):
            self._has_features = False
            return self._steps[moves_policy]()
        if not (again and self._has_features):
            self._look_step()
            self._has_features = True
        return None, self._value_step()

    def _gather(self, positions: Tensor) -> Batch:
        """Transitions at ``positions``; of whole segments with targets of today's model where the run asks for them."""
        batch = self.replay.gather(positions)
        if self.spec.learner.targets == "stored":
            return batch
        assert isinstance(self.replay, Replay)  # as the spec of such a run sees to
        steps = self.spec.replay.segment_length
        slots, slot = (positions // steps).unique(return_inverse=True)
        with torch.no_grad():
            advantages, value_targets = self.targets(self.replay.gather_segments(slots))
        step = positions % steps
        return replace(batch, advantages=advantages[slot, step], targets=value_targets[slot, step])

    @torch.no_grad()
    def _look(self) -> None:
        """Keep the features and targets of the update's transitions: without the policy they do not change."""
        for number, positions in enumerate(self.index):
            batch = self._gather(positions)
            self._features[number] = self.model.encoder(batch.observations)
            self._value_targets[number] = batch.targets

    def _learn_value(self) -> dict[str, Tensor]:
        """An update of the value alone, without the policy."""
        self.value.gradient.zero_()
        losses = []
        for features, value_targets in zip(self._features, self._value_targets, strict=True):
            weight = self.spec.learner.value_coefficient / len(self.index)
            losses.append(self.model.add_value_gradients(features, value_targets, weight, self.value.gradients))
        norm, nothing = self.value.gradient.norm(), torch.zeros((), device=self.replay.device)
        self.policy.vector.grad = None
        self.value.vector.grad = self.value.gradient.mul_((self.spec.learner.gradient_clip / norm).clamp(max=1))
        self.optimizer.step()
        self.health.record(torch.stack([nothing, sum(losses, nothing), nothing, nothing, norm]))
        return {"grad_norm_policy": nothing, "grad_norm_value": norm}

    def step(self, moves_policy: bool) -> tuple[Losses, dict[str, Tensor]]:
        """The update at the rates that are set, from `index`; where the policy does not move the value learns alone."""
        for part in self._parts:
            part.gradient.zero_()
        parts = []
        batches = [self._gather(positions) for positions in self.index]
        for batch, advantages in zip(batches, self.normalised(batches), strict=True):
            losses = self.losses(batch, advantages)
            (self.total(losses, moves_policy) / len(self.index)).backward()
            parts.append(losses.detached())
        norms = {
            "grad_norm_policy": self.policy.gradient.norm(),
            "grad_norm_value": self.value.gradient.norm(),
        }
        clip = (self.spec.learner.gradient_clip / torch.hypot(*norms.values())).clamp(max=1)
        self.policy.vector.grad = self.policy.gradient.mul_(clip) if moves_policy else None
        self.value.vector.grad = self.value.gradient.mul_(clip)
        self.optimizer.step()
        terms = torch.stack([torch.stack([part.policy, part.value, part.kl]) for part in parts])
        self.health.record(torch.cat([terms.sum(0), torch.stack(list(norms.values()))]))
        return parts[-1], norms

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
        self.health.updates.fill_(self.updates)
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        for group, rate in zip(self.optimizer.param_groups, self.rates.values(), strict=True):
            group["lr"] = rate  # the loaded one is a copy, which `update` would not reach

    @torch.no_grad()
    def _log_probs(self, segments: Segments) -> Tensor:
        logits = self.model.logits(segments.observations.flatten(0, 1))
        log_probs, *_ = log_prob_and_entropy(logits, segments.tokens.flatten(0, 1).long())
        return log_probs.view(segments.log_probs.shape)

    @property
    def _parts(self) -> tuple[ParameterVector, ParameterVector]:
        return self.policy, self.value


class Health:
    """Remembers on the device the first update whose statistics were not all finite."""

    NAMES = ("loss_policy", "loss_value", "kl", "grad_norm_policy", "grad_norm_value")

    def __init__(self, device: torch.device) -> None:
        self.updates = torch.zeros((), device=device)
        self.failed = torch.zeros((), dtype=torch.bool, device=device)
        self.row = torch.zeros(1 + len(self.NAMES), device=device)

    def record(self, statistics: Tensor) -> None:
        """Take note of one update's statistics, in the order of `NAMES`."""
        row = torch.cat([self.updates[None], statistics])
        self.row.copy_(torch.where(self.failed, self.row, row))
        self.failed |= ~row.isfinite().all()
        self.updates += 1

    def failure(self) -> tuple[int, str, float] | None:
        """Update, name and value of the first failure; waits for the device."""
        if not self.failed:
            return None
        update, *values = self.row.tolist()
        return next(
            (int(update), name, value)
            for name, value in zip(self.NAMES, values, strict=True)
            if not math.isfinite(value)
        )


def schedule(update: int, spec: RunSpec, start: int = 0) -> float:
    """Factor on a learning rate: linear warm-up from ``start`` on, then cosine to 0 at the last update [C].

    By rounds, it is that of the round in which the update is made, and the first round, which has none, has 0 [C].
    """
    warmup, total = spec.learner.warmup_updates, spec.learner.updates - start
    update -= start
    if update < 0:
        return 0.0
    if spec.learner.schedule == "update":
        if update < warmup:
            return (update + (start == 0)) / warmup  # a policy that starts later starts at 0
        return _cosine((update - warmup) / max(1, total - warmup))
    per_round = spec.updates_per_round
    first = spec.replay.warmup_steps / spec.round_steps
    number, rising, rounds = first + update // per_round, warmup / per_round, first + total / per_round
    return number / rising if number < rising else _cosine((number - rising) / max(1, rounds - rising))


def _cosine(progress: float) -> float:
    return 0.5 * (1 + math.cos(math.pi * progress))
