"""The world model: five small networks that foretell the next observation, the reward and the success of a step.

All members are one batch of matrices with one optimiser. They differ in their first weights and in their bootstrap of
the data; where they disagree, the data do not tell (Chua et al. 2018, Janner et al. 2019). Everything is on the CPU.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, silu

from gipo.errors import GipoError

MEMBERS = 5
"""Networks of an ensemble [R]."""
LEARNING_RATE = 1e-3
"""Of Adam [R]."""
BATCH = 256
"""Transitions of an optimiser step, for each member its own [R]."""
LOOK = 25
"""Optimiser steps between two looks at the held-out transitions [R]."""
PATIENCE = 6
"""Looks without a better member after which a fit ends [R]."""
LEAST_GAIN = 0.01
"""Share by which the held-out loss of a member has to fall to count as better, as in Janner et al."""
CONSTANT = {"input": 1e-4, "change": 1e-6, "reward": 1e-6}
"""Standard deviations, as shares of 1 + the mean's size, up to which a number counts as one that never changes; an
observation's is a tenth of a millimetre on MetaWorld, where objects at rest tremble."""
DEGENERATE = 1e-6
"""Variance, of numbers with variance 1, up to which a combination of them counts as one that never changes."""
MOST = 10.0
"""Standard deviations to which the networks' inputs are cut."""


@dataclass(frozen=True)
class Experience:
    """Real transitions; any leading shape, [N] in most places."""

    observations: Tensor  # float32 [..., O]
    actions: Tensor  # float32 [..., D], in [-1, 1]
    successors: Tensor  # float32 [..., O], true next observations
    rewards: Tensor  # float32 [...]
    successes: Tensor  # float32 [...], 0 or 1

    def __len__(self) -> int:
        """Transitions along the first dimension."""
        return len(self.rewards)

    def take(self, index: Tensor) -> Experience:
        """The transitions at ``index``, of any shape."""
        return Experience(**{field.name: getattr(self, field.name)[index] for field in fields(self)})

    def check(self) -> None:
        """Refuse what nothing can be learned from.

        Raises:
            GipoError: there is none, or a number is NaN or infinite.
        """
        if not len(self):
            raise GipoError("the world model has no transition to learn from")
        for field in fields(self):
            if not getattr(self, field.name).isfinite().all():
                raise GipoError(f"the world model cannot learn from {field.name} that are NaN or infinite")


@dataclass(frozen=True)
class Prediction:
    """The ensemble on B transitions, means over its members."""

    observations: Tensor  # float32 [B, O]
    rewards: Tensor  # float32 [B]
    successes: Tensor  # float32 [B], probabilities
    disagreement: Tensor  # float32 [B], see `WorldModel.predict`


@dataclass(frozen=True)
class Fit:
    """How a fit went: optimiser steps, and the held-out loss of the kept members before and after it, their mean."""

    steps: int
    before: float
    after: float


class WorldModel:
    """The ensemble, ``(s, a) -> (s' - s, r, success)``, with inputs and targets normalised by the data of its last fit.

    Args:
        observation_size: O.
        action_size: D.
        hidden: units of each of the two hidden layers.
        generator: draws the first weights.
    """

    def __init__(self, observation_size: int, action_size: int, hidden: int, generator: torch.Generator) -> None:
        self.observation_size, self.action_size = observation_size, action_size
        sizes = (observation_size + action_size, hidden, hidden, observation_size + 2)
        self.weights: list[Tensor] = []  # of each layer, [MEMBERS, inputs, outputs]
        self.biases: list[Tensor] = []  # [MEMBERS, 1, outputs]
        for inputs, outputs in pairwise(sizes):
            bound = inputs**-0.5
            for parts, shape in ((self.weights, (inputs, outputs)), (self.biases, (1, outputs))):
                drawn = torch.empty(MEMBERS, *shape).uniform_(-bound, bound, generator=generator)
                parts.append(drawn.requires_grad_())
        self.normaliser = Normaliser.unit(observation_size, action_size)

    @property
    def parameters(self) -> list[Tensor]:
        """Of all layers, each with a first dimension of MEMBERS."""
        return [*self.weights, *self.biases]

    def outputs(self, observations: Tensor, actions: Tensor) -> Tensor:
        """Normalised change of the observation, normalised reward, and logit of success.

        Args:
            observations: of each member [MEMBERS, B, O], or of all [B, O].
            actions: [MEMBERS, B, D] or [B, D].

        Returns:
            [MEMBERS, B, O + 2].
        """
        hidden = self.normaliser.inputs(torch.cat([observations, actions], dim=-1)).expand(MEMBERS, -1, -1)
        for weight, bias in zip(self.weights[:-1], self.biases[:-1], strict=True):
            hidden = silu(torch.baddbmm(bias, hidden, weight))
        return torch.baddbmm(self.biases[-1], hidden, self.weights[-1])

    def losses(self, experience: Experience) -> Tensor:
        """Loss of each member, [MEMBERS]: squared error of the change and of the reward, cross-entropy of success.

        Args:
            experience: of each member [MEMBERS, B], or of all [B].
        """
        outputs, size = self.outputs(experience.observations, experience.actions), self.observation_size
        changes, rewards = self.normaliser.targets(experience)
        varies = self.normaliser.change_scale > 0
        squares = (outputs[..., :size] - changes).square() * varies
        change = squares.sum(-1).mean(-1) / varies.sum().clamp(min=1)
        reward = (outputs[..., size] - rewards).square().mean(-1)
        logits = outputs[..., size + 1]
        known = experience.successes.expand_as(logits)
        success = binary_cross_entropy_with_logits(logits, known, reduction="none").mean(-1)
        return change + reward + success

    @torch.no_grad()
    def predict(self, observations: Tensor, actions: Tensor) -> Prediction:
        """Next observations, rewards and success probabilities of B transitions.

        The disagreement is the standard deviation over members of the next observation, in units of the data's own
        standard deviation, as a root mean square over the numbers of an observation that vary.

        Args:
            observations: [B, O].
            actions: [B, D].
        """
        outputs, size, normaliser = self.outputs(observations, actions), self.observation_size, self.normaliser
        changes = outputs[..., :size] * normaliser.change_scale + normaliser.change_mean
        rewards = outputs[..., size] * normaliser.reward_scale + normaliser.reward_mean
        return Prediction(
            observations=observations + changes.mean(0),
            rewards=rewards.mean(0),
            successes=outputs[..., size + 1].sigmoid().mean(0),
            disagreement=normaliser.distance(changes.std(0, correction=0)),
        )

    def fit(self, experience: Experience, held_out: Experience, steps: int, generator: torch.Generator) -> Fit:
        """Go on from the weights there are, until held-out transitions are foretold no better.

        Each member learns from a bootstrap of its own, and keeps the weights that were best on what was held out.

        Args:
            experience: N transitions.
            held_out: others, of which nothing is learned.
            steps: most optimiser steps.
            generator: draws bootstraps and batches.

        Raises:
            GipoError: something in the data, or a loss, is NaN or infinite, or there are no transitions.
        """
        experience.check()
        held_out.check()
        self.normaliser = Normaliser.of(experience)
        best = [parameter.detach().clone() for parameter in self.parameters]
        before = least = self._held_out_losses(held_out, 0)
        bootstrap = torch.randint(len(experience), (MEMBERS, len(experience)), generator=generator)
        optimizer = torch.optim.Adam(self.parameters, lr=LEARNING_RATE, fused=True)
        waited = step = 0
        while step < steps and waited < PATIENCE:
            for _ in range(min(LOOK, steps - step)):
                drawn = torch.randint(len(experience), (MEMBERS, BATCH), generator=generator)
                optimizer.zero_grad()
                self.losses(experience.take(bootstrap.gather(1, drawn))).sum().backward()
                optimizer.step()
                step += 1
            losses = self._held_out_losses(held_out, step)
            better = losses < least
            waited = 0 if (losses < (1 - LEAST_GAIN) * least).any() else waited + 1
            least = torch.where(better, losses, least)
            for kept, parameter in zip(best, self.parameters, strict=True):
                kept[better] = parameter.detach()[better]
        with torch.no_grad():
            for kept, parameter in zip(best, self.parameters, strict=True):
                parameter.copy_(kept)
        return Fit(step, float(before.mean()), float(least.mean()))

    @torch.no_grad()
    def _held_out_losses(self, held_out: Experience, step: int) -> Tensor:
        losses = self.losses(held_out)
        if not losses.isfinite().all():
            raise GipoError(f"the world model's held-out loss is {losses.tolist()} after {step} steps of its fit")
        return losses

    def state(self) -> dict[str, Any]:
        """Weights and normaliser, for a checkpoint; between two fits there is nothing else."""
        return {
            "parameters": [parameter.detach().clone() for parameter in self.parameters],
            "normaliser": dict(vars(self.normaliser)),
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Restore what `state` returned."""
        with torch.no_grad():
            for parameter, stored in zip(self.parameters, state["parameters"], strict=True):
                parameter.copy_(stored)
        self.normaliser = Normaliser(**state["normaliser"])


@dataclass(frozen=True)
class Normaliser:
    """Means and standard deviations of the data; the scale of a number that never changes is 0, and so it stays.

    Inputs are whitened, by the inverse root of their correlations: an observation of MetaWorld holds the positions of
    this step and of the one before, and their difference, the velocity, is a few hundredths of either. By the symmetric
    root each input stays the one it was, so that weights keep their meaning from fit to fit.
    """

    input_mean: Tensor  # [O + D]
    input_scale: Tensor  # [O + D]
    whitening: Tensor  # [O + D, O + D], of inputs with mean 0 and deviation 1
    change_mean: Tensor  # [O]
    change_scale: Tensor  # [O]
    reward_mean: Tensor  # []
    reward_scale: Tensor  # []

    @classmethod
    def unit(cls, observation_size: int, action_size: int) -> Normaliser:
        """Changes nothing: of a model that was never fitted."""
        sizes = {"input": (observation_size + action_size,), "change": (observation_size,), "reward": ()}
        means = {f"{name}_mean": torch.zeros(size) for name, size in sizes.items()}
        scales = {f"{name}_scale": torch.ones(size) for name, size in sizes.items()}
        return cls(**means, **scales, whitening=torch.eye(observation_size + action_size))

    @classmethod
    def of(cls, experience: Experience) -> Normaliser:
        """Of N transitions."""
        parts = {
            "input": torch.cat([experience.observations, experience.actions], dim=-1),
            "change": experience.successors - experience.observations,
            "reward": experience.rewards,
        }
        found: dict[str, Tensor] = {}
        for name, values in parts.items():
            deviation, mean = torch.std_mean(values, 0, correction=0)
            found |= {
                f"{name}_mean": mean,
                f"{name}_scale": deviation * (deviation > CONSTANT[name] * (1 + mean.abs())),
            }
        standard = _divided(parts["input"] - found["input_mean"], found["input_scale"]).double()
        variances, directions = torch.linalg.eigh(standard.T @ standard / len(standard))
        factors = torch.where(variances > DEGENERATE, variances.clamp(min=DEGENERATE).rsqrt(), 0)
        return cls(**found, whitening=((directions * factors) @ directions.T).float())

    def inputs(self, inputs: Tensor) -> Tensor:
        """Inputs [..., O + D] as the networks take them."""
        return (_divided(inputs - self.input_mean, self.input_scale) @ self.whitening).clamp(-MOST, MOST)

    def targets(self, experience: Experience) -> tuple[Tensor, Tensor]:
        """Changes [..., O] and rewards [...] as the networks foretell them."""
        changes = experience.successors - experience.observations
        normalised = _divided(changes - self.change_mean, self.change_scale)
        return normalised, _divided(experience.rewards - self.reward_mean, self.reward_scale)

    def distance(self, differences: Tensor) -> Tensor:
        """Size [...] of differences of observations [..., O] in standard deviations, over the numbers that vary."""
        scale = self.input_scale[: differences.shape[-1]]
        varies = (scale > 0).sum().clamp(min=1)
        return (_divided(differences, scale).square().sum(-1) / varies).sqrt()


def _divided(values: Tensor, scale: Tensor) -> Tensor:
    """Quotients; 0 where the scale is."""
    return values * torch.where(scale > 0, 1 / scale.clamp(min=torch.finfo(scale.dtype).tiny), 0)
