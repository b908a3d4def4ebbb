"""The protocol between engines and suites: the simulator, the model that acts and learns, and the evaluation.

Both engines meet a suite by this protocol alone. `make_suite` finds it by name: suite ``<name>`` of the catalogue
(`gipo.suites`) is a module ``gipo.engines.suites.<name>`` with a function ``make_suite(spec, pretrained)``.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from gipo.models.categorical import sample_tokens
from gipo.runs.spec import RunSpec

if TYPE_CHECKING:  # costs seconds to import, in every process
    from gipo.learner import Learner, Transitions
    from gipo.replicated import ReplicatedLearner

Array = npt.NDArray[Any]
Arrays = dict[str, Array]


class Environment(Protocol):
    """One simulator; it shows what the suite's model takes, and takes the tokens that the model gives.

    The lockstep engine plays unfinished episodes again from their seed after an interruption, so there an episode may
    depend on nothing but its seed and its tokens.
    """

    @property
    def task(self) -> str:
        """Task that it is playing now."""

    def reset(self, *, seed: int) -> tuple[Array, dict[str, Any]]:
        """Begin the training episode of a seed; the first observation, [O]."""

    def step(self, action: Array) -> tuple[Array, float, bool, bool, dict[str, Any]]:
        """Play one token per action dimension, [D].

        Returns:
            Observation [O], reward, whether the task ended, whether the time limit cut the episode, and ``info`` with
            ``success_any`` (at any step so far) and ``success_last`` (at this one).
        """


class Actor:
    """A model that acts.

    Args:
        model: gives logits [N, D, bins] and values [N] of observations [N, O]; on ``device``.
        load: puts what a learner's ``weights`` gave into the model.
        device: where observations go.
    """

    def __init__(self, model: nn.Module, load: Callable[[dict[str, Tensor]], object], device: torch.device) -> None:
        self.model, self.load, self.device = model, load, device

    def sample(self, observations: Array, uniforms: Array) -> tuple[Array, Array, Array]:
        """Tokens uint8 [N, D], their log-probabilities float32 [N, D], and the logits float32 [N, D, bins].

        Args:
            observations: [N, O].
            uniforms: in [0, 1), [N, D]; they draw the tokens.
        """
        logits = self.logits(observations)
        return *sample_tokens(logits, uniforms), logits

    def act(self, observations: Array, uniforms: Array) -> tuple[Array, Array, Array]:
        """As `sample`, and the values, float32 [N]."""
        logits, values = self._forward(observations)
        return *sample_tokens(logits, uniforms), values

    def best(self, observations: Array) -> Array:
        """The most probable tokens, uint8 [N, D]."""
        return self.logits(observations).argmax(-1).astype(np.uint8)

    def logits(self, observations: Array) -> Array:
        """Logits float32 [N, D, bins] of observations [N, O]."""
        return self._forward(observations)[0]

    @torch.inference_mode()
    def _forward(self, observations: Array) -> tuple[Array, Array]:
        logits, values = self.model(torch.from_numpy(observations).to(self.device))
        return logits.cpu().numpy(), values.cpu().numpy()


class RunSuite(Protocol):
    """The suite of one run: the run's task or tasks, and the run's model."""

    observation_size: int
    """O, numbers of an observation."""
    observation_dtype: torch.dtype
    """Type of one of them."""
    action_dimensions: int
    """D, tokens of an action."""

    def make_environment(self) -> Environment:
        """A new simulator."""

    def make_actor(self, device: torch.device) -> Actor:
        """A model with weights to come."""

    def make_learner(self, transitions: Transitions) -> Learner | ReplicatedLearner:
        """A learner of the untrained model, on the device where ``transitions`` will lie.

        A suite that the lockstep engine can run (`gipo.suites.Suite.lockstep`) gives a `gipo.learner.Learner`.
        """

    def start_of(self, episode: int) -> dict[str, Any]:
        """How an evaluation episode begins: its task, its seed, and what else the suite draws."""

    def evaluation_groups(self) -> list[range]:
        """All evaluation episodes of the run, in groups that go to `evaluate` as wholes, whoever plays them."""

    def evaluate(self, actor: Actor, update: int, episodes: range) -> list[dict[str, Any]]:
        """Play evaluation episodes of the run; one row per episode: episode, return, success_any, success_last.

        Args:
            actor: has the weights.
            update: that made them.
            episodes: their numbers; together, they may share inference batches.
        """


def make_suite(spec: RunSpec, pretrained: Path) -> RunSuite:
    """The suite of a run.

    Args:
        spec: the run.
        pretrained: where pretrained models lie, as ``<repository>/<revision>``.
    """
    suite: RunSuite = importlib.import_module(f"{__name__}.{spec.suite}").make_suite(spec, pretrained)
    return suite


def numpy_dtype(dtype: torch.dtype) -> np.dtype[Any]:
    """Numpy's name of a type of torch's."""
    return torch.empty(0, dtype=dtype).numpy().dtype
