"""The learner of a model that is too large for `gipo.learner.Learner`: by one process, or by several with FSDP2."""

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
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor

from gipo import objectives
from gipo.learner import Health, Losses, Transitions, UpdateRule
from gipo.models.openvla_oft.packed import PackedPolicy
from gipo.replay import Batch
from gipo.runs.spec import RunSpec

_WHOLE = StateDictOptions(full_state_dict=True, cpu_offload=True)


class ShardedLearner(UpdateRule):
    """Model, optimiser and schedule of one run, on one device or on all of the default process group's.

    In a group, each process holds a part of every parameter and takes its share of every micro-batch, of equal size;
    advantages are normalised over the whole micro-batch, and gradients are those of the whole.

    Args:
        spec: the run.
        model: the policy, on this process's device.
        transitions: this process's share of them.
    """

    model: PackedPolicy

    def __init__(self, spec: RunSpec, model: PackedPolicy, transitions: Transitions) -> None:
        self.spec, self.model, self.transitions = spec, model, transitions
        self.objective = objectives.make(spec.objective.name, **spec.objective.parameters)
        self.updates = 0
        self.processes = dist.get_world_size() if dist.is_initialized() else 1
        if self.processes > 1:
            shard(model)
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
        for number, (batch, advantages) in enumerate(zip(batches, self.normalised(batches), strict=True), 1):
            if isinstance(self.model, FSDPModule):
                self.model.set_requires_gradient_sync(number == len(index))
            losses = self.losses(batch, advantages)
            (self.total(losses, moves_policy) / len(index)).backward()
            parts.append(self._of_the_whole(losses))
        whole = joined(parts)
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

    def weights(self) -> dict[str, Tensor]:
        """A whole copy of what is trained, in main memory; all processes must call."""
        return {name: _whole(tensor.detach()).to("cpu", copy=True) for name, tensor in self.model.trained().items()}

    def state(self) -> dict[str, Any]:
        """Trained parameters, optimiser and update count, for a checkpoint; all processes must call."""
        return {
            "updates": self.updates,
            "model": self.weights(),
            "optimizer": get_optimizer_state_dict(self.model, self.optimizer, options=_WHOLE),
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Restore what `state` returned, in a group of any size."""
        self.updates = state["updates"]
        self.health.updates.fill_(self.updates)
        own = self.model.trained()
        with torch.no_grad():
            for name, tensor in state["model"].items():
                target = own[name]
                if isinstance(target, DTensor):
                    tensor = distribute_tensor(tensor.to(target.device), target.device_mesh, target.placements)
                target.copy_(tensor)
        set_optimizer_state_dict(self.model, self.optimizer, state["optimizer"], options=_WHOLE)

    def _of_the_whole(self, losses: Losses) -> Losses:
        """Losses of a micro-batch over all processes, without their graph."""
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
        return _whole(nn.utils.get_total_norm(gradients)) if gradients else torch.zeros_like(self.rates["policy"])


def shard(model: PackedPolicy) -> None:
    """Spread the parameters over the default process group: each transformer block by itself, then the rest."""
    backbone = model.policy.model
    towers = (backbone.vision_backbone.featurizer, backbone.vision_backbone.fused_featurizer)
    for block in (*(block for tower in towers for block in tower.blocks), *backbone.language_model.model.layers):
        fully_shard(block)
    fully_shard(model)


def joined(parts: Sequence[Losses]) -> Losses:
    """Losses of several micro-batches of the same size as those of one."""
    columns = {field.name: [getattr(part, field.name) for part in parts] for field in fields(Losses)}
    return Losses(**{name: torch.cat(c) if c[0].ndim else torch.stack(c).mean() for name, c in columns.items()})


def _whole(tensor: Tensor) -> Tensor:
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor
