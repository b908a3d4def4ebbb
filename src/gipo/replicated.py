"""The learner of a model of which a small part is trained, by one process or by several with a copy each.

The frozen weights of a 7B model fit a GPU. What is trained, 126 million of them, is all that processes tell each other
about, once an update; sharding the model instead would gather all its weights in every pass.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import fields
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_optimizer_state_dict,
    set_optimizer_state_dict,
)

from gipo import objectives
from gipo.learner import Health, Losses, Transitions, UpdateRule
from gipo.models.openvla_oft.packed import PackedPolicy
from gipo.replay import Batch
from gipo.runs.spec import RunSpec

MOST_AT_ONCE = 18
"""Transitions in one pass of a process, at most: the 7B model took 56.7 GiB then on an H200, and 43.1 GiB by 12."""

_ON_THE_CPU = StateDictOptions(cpu_offload=True)


class ReplicatedLearner(UpdateRule):
    """Model, optimiser and schedule of one run, on one device or on all of the default process group's.

    In a group, each process takes its share of every micro-batch, of equal size; advantages are normalised over the
    whole micro-batch, and gradients are those of the whole. How many micro-batches share a pass is arithmetic only.

    Args:
        spec: the run.
        model: the policy, on this process's device; trained weights are those of the first process.
        transitions: this process's share of them.
    """

    model: PackedPolicy

    def __init__(self, spec: RunSpec, model: PackedPolicy, transitions: Transitions) -> None:
        self.spec, self.model, self.transitions = spec, model, transitions
        self.objective = objectives.make(spec.objective.name, **spec.objective.parameters)
        self.updates = 0
        self.processes = dist.get_world_size() if dist.is_initialized() else 1
        if self.processes > 1:
            for tensor in model.trained().values():
                dist.broadcast(tensor.detach(), 0)
        device = next(model.parameters()).device
        self.now = torch.zeros((), dtype=torch.int64, device=device)
        self.rates = {name: torch.zeros((), device=device) for name in ("policy", "value")}
        self.optimizer = torch.optim.AdamW(
            [{"params": model.policy_parameters()}, {"params": model.value_parameters()}],
            weight_decay=spec.learner.weight_decay,
            fused=device.type == "cuda",
        )
        self.health = Health(device)

    def update(self, index: Tensor) -> tuple[Losses, dict[str, Tensor]]:
        """One optimiser step.

        Args:
            index: flat positions in this process's share of the micro-batches, int64 [accumulation, B].

        Returns:
            Losses of the whole update, without their graph, and the gradient norms before clipping.
        """
        moves_policy = self.set_rates()
        for group, rate in zip(self.optimizer.param_groups, self.rates.values(), strict=True):
            group["lr"] = float(rate)
        self.optimizer.zero_grad()
        parts = []
        batches = [self.transitions.gather(positions) for positions in index]
        advantages = self.normalised(batches)
        passes = in_passes(*index.shape)
        for together in passes:
            losses = self.losses(_concatenated(batches[together]), advantages[together].flatten())
            (self.total(losses, moves_policy) / len(passes)).backward()
            parts.append(self._of_the_whole(losses))
        whole = joined(parts)
        self._average_gradients()
        norms = {
            "grad_norm_policy": self._norm(self.model.policy_parameters()),
            "grad_norm_value": self._norm(self.model.value_parameters()),
        }
        clip = (self.spec.learner.gradient_clip / torch.hypot(*norms.values())).clamp(max=1)
        for parameter in self.model.parameters():
            if parameter.grad is not None:
                parameter.grad.mul_(clip)
        self.optimizer.step()
        self.health.record(torch.stack([whole.policy, whole.value, whole.kl, *norms.values()]))
        self.updates += 1
        return whole, norms

    def normalised(self, batches: Sequence[Batch]) -> Tensor:
        """Advantages of this process's share of the micro-batches, [M, B], by the moments of the whole ones."""
        if self.processes == 1:
            return super().normalised(batches)
        advantages = torch.stack([batch.advantages for batch in batches])
        learner = self.spec.learner
        over = (0, 1) if learner.advantage_scope == "update" else 1
        centred = advantages - self._mean(advantages.mean(over, keepdim=True))
        variance = self._mean(centred.square().mean(over, keepdim=True))
        if learner.advantage_deviation == "sample":
            count = advantages.numel() / variance.numel() * self.processes
            variance = variance * count / (count - 1)
        return centred / (variance.sqrt() + 1e-8)

    def trained(self) -> dict[str, Tensor]:
        """The tensors that training changes, themselves."""
        return self.model.trained()

    def state(self) -> dict[str, Any]:
        """Trained parameters, optimiser and update count, for a checkpoint."""
        return {
            "updates": self.updates,
            "model": self.weights(),
            "optimizer": get_optimizer_state_dict(self.model, self.optimizer, options=_ON_THE_CPU),
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Restore what `state` returned, in a group of any size."""
        self.updates = state["updates"]
        self.health.updates.fill_(self.updates)
        own = self.trained()
        with torch.no_grad():
            for name, tensor in state["model"].items():
                own[name].copy_(tensor)
        set_optimizer_state_dict(self.model, self.optimizer, state["optimizer"], options=_ON_THE_CPU)

    def _average_gradients(self) -> None:
        """Replace the gradients of this process's shares by those of the whole micro-batches."""
        if self.processes == 1:
            return
        gradients = [parameter.grad for parameter in self.model.parameters() if parameter.grad is not None]
        nn.utils.vector_to_parameters(self._mean(nn.utils.parameters_to_vector(gradients)), gradients)

    def _of_the_whole(self, losses: Losses) -> Losses:
        """Losses of a pass over all processes, without their graph."""
        own = vars(losses.detached()).items()
        return Losses(**{name: self._gathered(part) if part.ndim else self._mean(part) for name, part in own})

    def _gathered(self, share: Tensor) -> Tensor:
        """Rows of all processes."""
        if self.processes == 1:
            return share
        shares = [torch.empty_like(share) for _ in range(self.processes)]
        dist.all_gather(shares, share.contiguous())
        return torch.cat(shares)

    def _mean(self, value: Tensor) -> Tensor:
        """Mean of a number over all processes."""
        if self.processes > 1:
            value = value.clone()
            dist.all_reduce(value)
            value /= self.processes
        return value

    def _norm(self, parameters: Iterable[nn.Parameter]) -> Tensor:
        """Norm of all gradients together; 0 where there are none."""
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        return nn.utils.get_total_norm(gradients) if gradients else torch.zeros_like(self.rates["policy"])


def in_passes(micro_batches: int, size: int) -> list[slice]:
    """Micro-batches that go through the model together, equally many each time, as many as `MOST_AT_ONCE` allows.

    Args:
        micro_batches: of an update.
        size: of this process's share of each.
    """
    fitting = [n for n in range(1, micro_batches + 1) if micro_batches % n == 0 and n * size <= MOST_AT_ONCE]
    together = max(fitting, default=1)
    return [slice(first, first + together) for first in range(0, micro_batches, together)]


def joined(parts: Sequence[Losses]) -> Losses:
    """Losses of several passes of the same size as those of one."""
    columns = {field.name: [getattr(part, field.name) for part in parts] for field in fields(Losses)}
    return Losses(**{name: torch.cat(c) if c[0].ndim else torch.stack(c).mean() for name, c in columns.items()})


def _concatenated(batches: Sequence[Batch]) -> Batch:
    columns = [batch.tensors() for batch in batches]
    return Batch(**{name: torch.cat([tensors[name] for tensors in columns]) for name in columns[0]})
