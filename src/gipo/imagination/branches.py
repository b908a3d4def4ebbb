"""Branches: what the policy would have done from a real state on, as the world model foretells it.

A branch begins at a state of the replay and has the policy's own tokens, drawn from a stream of its own. It becomes a
segment like any other, with the log-probabilities of the policy that drew them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from gipo.errors import GipoError
from gipo.imagination.model import Experience, WorldModel
from gipo.replay import Batch, Replay, Segments

Array = npt.NDArray[Any]

GOLDEN = (5**0.5 - 1) / 2
"""Multiples of it, modulo 1, are spread evenly over [0, 1), however many there are."""
HELD_OUT = 0.1
"""Share of the real segments that the world model is judged by and never learns from."""


class Policy(Protocol):
    """Draws tokens, as `gipo.engines.suites.Actor` does."""

    def sample(self, observations: Array, uniforms: Array) -> tuple[Array, Array, Array]:
        """Tokens uint8 [N, D], their log-probabilities float32 [N, D], and logits, of observations [N, O]."""


@dataclass(frozen=True)
class Branches:
    """N branches of L steps."""

    observations: Tensor  # float32 [N, L + 1, O], the first one real
    tokens: Tensor  # uint8 [N, L, D]
    log_probs: Tensor  # float32 [N, L, D], of the policy that drew them
    rewards: Tensor  # float32 [N, L]
    successes: Tensor  # float32 [N, L], probabilities
    disagreement: Tensor  # float32 [N, L], of the members about each step

    def changes_of_success(self, solved: Tensor) -> Tensor:
        """Rewards by success, float32 [N, L]: the changes of its probability, which are AcceRL's rewards [H].

        Args:
            solved: whether the task is solved in the first states, bool [N]; what is real needs no probability.
        """
        before = torch.cat([solved[:, None].float(), self.successes[:, :-1]], dim=1)
        return self.successes - before

    def segments(self, limit: float | None) -> Segments:
        """The branches as segments; each ends before its first step on which members disagree by more than ``limit``.

        Such an end is marked as a truncation: the task would go on, so the value of the last state that is believed
        stands for the rest (`bootstraps` of `gipo.learner.Learner.targets`). A branch may have no step at all.
        """
        count, steps = self.rewards.shape
        believed = torch.ones(count, steps, dtype=torch.bool)
        if limit is not None:
            believed = (self.disagreement <= limit).long().cumprod(1).bool()
        lengths = believed.sum(1)
        truncated = torch.zeros(count, steps, dtype=torch.bool)
        early = (lengths > 0) & (lengths < steps)
        truncated[early, lengths[early] - 1] = True
        return Segments(
            observations=self.observations[:, :-1],
            tokens=self.tokens,
            log_probs=self.log_probs,
            rewards=self.rewards,
            terminated=torch.zeros(count, steps, dtype=torch.bool),
            truncated=truncated,
            final_observation=self.observations[:, -1],
            cut_observation=self.observations[torch.arange(count), lengths] * early[:, None],
            lengths=lengths,
        )


def imagine(model: WorldModel, policy: Policy, states: Tensor, uniforms: Array, bins: int) -> Branches:
    """Let the policy play in the model.

    Args:
        model: was fitted.
        policy: has the weights.
        states: real ones to begin with, float32 [N, O].
        uniforms: in [0, 1), float32 [L, N, D]; they draw the tokens.
        bins: tokens per action dimension.

    Raises:
        GipoError: a state or a reward that the model foretells is NaN or infinite.
    """
    observations, parts = [states], []
    for drawn in uniforms:
        tokens, log_probs, _ = policy.sample(observations[-1].numpy(), drawn)
        foretold = model.predict(observations[-1], actions(torch.from_numpy(tokens), bins))
        if not (foretold.observations.isfinite().all() and foretold.rewards.isfinite().all()):
            raise GipoError(f"the world model foretells NaN or infinity in step {len(observations)} of a branch")
        observations.append(foretold.observations)
        made = (torch.from_numpy(tokens), torch.from_numpy(log_probs))
        parts.append((*made, foretold.rewards, foretold.successes, foretold.disagreement))
    return Branches(torch.stack(observations, 1), *(torch.stack(part, 1) for part in zip(*parts, strict=True)))


def actions(tokens: Tensor, bins: int) -> Tensor:
    """Tokens [..., D] as numbers in [-1, 1], ``-1 + 2 token / (bins - 1)``, which is what MetaWorld plays."""
    return tokens.float() * (2 / (bins - 1)) - 1


def experience(segments: Segments, bins: int) -> Experience:
    """The transitions of real segments, in order, [S * T].

    Raises:
        GipoError: the task ended in one, which the model cannot foretell.
    """
    if segments.terminated.any():
        raise GipoError("the world model knows no end of a task but its time limit, and an episode has ended before")
    assert segments.successes is not None
    successors = torch.cat([segments.observations[:, 1:], segments.final_observation[:, None]], dim=1)
    inside = segments.truncated.clone()
    inside[:, -1] = False
    successors = torch.where(inside[..., None], segments.cut_observation[:, None], successors)
    parts = (segments.observations, actions(segments.tokens, bins), successors)
    outcomes = (segments.rewards, segments.successes.float())
    return Experience(*(part.flatten(0, 1).cpu() for part in (*parts, *outcomes)))


def split(replay: Replay) -> tuple[Tensor, Tensor]:
    """Slots of the segments to learn from, and of those held out, which stay so as long as they are stored."""
    numbers = torch.arange(replay.intact.start, replay.intact.stop)
    held_out = numbers.double() * GOLDEN % 1 >= 1 - HELD_OUT
    slots = numbers % replay.slots
    return slots[~held_out].to(replay.device), slots[held_out].to(replay.device)


def experience_of(replay: Replay, bins: int) -> tuple[Experience, Experience]:
    """The transitions of a replay that a world model learns from, and those held out."""
    learned, held_out = (experience(replay.gather_segments(slots), bins) for slots in split(replay))
    return learned, held_out


@dataclass(frozen=True)
class Starts:
    """Real states in which N branches begin."""

    observations: Tensor  # float32 [N, O]
    solved: Tensor | None  # bool [N], whether the task is solved there, where branches are rewarded by success


def starts(replay: Replay, length: int, count: int, generator: np.random.Generator, by_success: bool = False) -> Starts:
    """States of the replay from which no episode ended within ``length`` steps, drawn uniformly, ``count``.

    So a branch needs to know nothing of the time limit. Where it is rewarded by the change of success it begins after
    the first step of a segment, for of that state it is not stored whether the task is solved.
    """
    stored = replay.segments
    slots = (torch.arange(replay.intact.start, replay.intact.stop) % replay.slots).sort().values.to(replay.device)
    allowed = ~(stored.terminated | stored.truncated)[slots].unfold(1, length, 1).any(-1)
    if by_success:
        allowed[:, 0] = False
    places = allowed.nonzero().cpu()
    place, step = places[torch.from_numpy(generator.integers(len(places), size=count))].T.to(replay.device)
    slot = slots[place]
    solved = _solved(stored)[slot, step - 1].cpu() if by_success else None
    return Starts(stored.observations[slot, step].cpu(), solved)


def changes_of_success(segments: Segments, solved: Tensor) -> tuple[Tensor, Tensor]:
    """Rewards of real segments by success: 1 where the task becomes solved, -1 where it ceases to be, else 0.

    Args:
        segments: such that each goes on where the one before it of the same environment ended.
        solved: whether the task is solved in their first states, bool [S].

    Returns:
        Rewards float32 [S, T], and whether the task is solved in the states that follow the segments.
    """
    assert segments.successes is not None
    before = torch.cat([solved[:, None], _solved(segments)], dim=1)
    return segments.successes.float() - before[:, :-1].float(), before[:, -1]


def _solved(segments: Segments) -> Tensor:
    """Whether the task is solved in the state after each step, bool [S, T]: not in that of a new episode."""
    assert segments.successes is not None
    return segments.successes & ~(segments.terminated | segments.truncated)


class Mixture:
    """Real transitions and imagined ones as a learner sees them: positions from ``offset`` on are imagined."""

    def __init__(self, real: Replay, imagined: Replay) -> None:
        self.real, self.imagined = real, imagined
        self.device = real.device
        self.observation_size, self.action_dimensions = real.observation_size, real.action_dimensions
        self.offset = real.versions.numel()

    def gather(self, index: Tensor) -> Batch:
        """The transitions at flat positions, int64 [B]; without waiting for the device."""
        is_imagined = index >= self.offset
        real = self.real.gather(index.clamp(max=self.offset - 1)).tensors()
        imagined = self.imagined.gather((index - self.offset).clamp(min=0)).tensors()

        def chosen(name: str) -> Tensor:
            mask = is_imagined.view(-1, *[1] * (real[name].dim() - 1))
            return torch.where(mask, imagined[name], real[name])

        return Batch(**{name: chosen(name) for name in real})
