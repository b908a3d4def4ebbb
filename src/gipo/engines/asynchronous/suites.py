"""What the engine needs to know of a benchmark suite, and nothing else."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from gipo.engines.actors import sample_tokens
from gipo.engines.asynchronous.staging import Staging
from gipo.runs.spec import RunSpec

if TYPE_CHECKING:  # costs seconds to import, in every process
    from gipo.learner import Learner
    from gipo.sharded import ShardedLearner

Array = npt.NDArray[Any]


class Environment(Protocol):
    """One simulator; what it shows and takes is what the suite's model takes and gives."""

    task: str
    """What it is playing now."""

    def reset(self, *, seed: int) -> tuple[Array, dict[str, Any]]:
        """Begin the training episode of a seed."""

    def step(self, action: Array) -> tuple[Array, float, bool, bool, dict[str, Any]]:
        """Play one token per action dimension; ``info`` has ``success_any``."""


class Actor:
    """A model that acts.

    Args:
        model: gives logits [N, D, bins] and values [N] of observations [N, O]; on ``device``.
        load: puts what the learner offers into the model.
        device: where observations go.
    """

    def __init__(self, model: nn.Module, load: Callable[[dict[str, Tensor]], object], device: torch.device) -> None:
        self.model, self.load, self.device = model, load, device

    def act(self, observations: Array, uniforms: Array) -> tuple[Array, Array, Array]:
        """Tokens uint8 [N, D], their log-probabilities [N, D] and values [N], float32, of observations [N, O].

        Uniforms in [0, 1), [N, D], draw the tokens.
        """
        logits, values = self._forward(observations)
        return *sample_tokens(logits, uniforms), values

    def best(self, observations: Array) -> Array:
        """The most probable tokens, uint8 [N, D]."""
        return self._forward(observations)[0].argmax(-1).astype(np.uint8)

    @torch.inference_mode()
    def _forward(self, observations: Array) -> tuple[Array, Array]:
        logits, values = self.model(torch.from_numpy(observations).to(self.device))
        return logits.cpu().numpy(), values.cpu().numpy()


class Suite(Protocol):
    """The tasks of one benchmark, as one run meets them."""

    observation_size: int
    observation_dtype: torch.dtype
    action_dimensions: int

    def make_environment(self) -> Environment:
        """A new simulator."""

    def make_learner(self, staging: Staging) -> Learner | ShardedLearner:
        """A learner of the untrained model, whose transitions will lie in ``staging``."""

    def make_actor(self, device: torch.device) -> Actor:
        """A model with weights to come."""

    def evaluate(self, actor: Actor, update: int) -> list[dict[str, Any]]:
        """Play the run's evaluation episodes; one row per episode: episode, return, success_any, success_last."""


def make_suite(spec: RunSpec, pretrained: Path) -> Suite:
    """The suite of a run.

    Args:
        spec: the run.
        pretrained: where pretrained models lie, as ``<repository>/<revision>``.
    """
    suite: Suite = importlib.import_module(f"gipo.engines.asynchronous.{spec.suite}").Suite(spec, pretrained)
    return suite
