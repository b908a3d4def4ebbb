"""A world model on frames of LIBERO's simulator: played, learned, imagined, looked at.

    python benchmarks/libero_frames.py [out.csv]

A scripted arm puts the soup into the basket, with more or less noise in its way, in episodes to learn from and, from
other initial states, in others to be judged by. The small model (`gipo.imagination.convolutional`) learns the agent's
camera at 64 x 64 pixels, a chunk of 8 simulator steps at a time. Then branches of 8 chunks are imagined from the frames
of the other episodes, with the actions that were played there. About an hour and a half, half of it the simulator's.
Nothing about learning a policy from such frames follows.

Rows by ``measure`` and ``step`` of the branch; values are means over episodes, with 95 % intervals over them:

- psnr, psnr still: of the imagined frame, and of the one in which the branch began, against the simulator's, in dB;
- distance, distance still: the same by LPIPS's formula in a network that was never trained;
- successes foretold, refused: steps of branches that the model takes for solving the task (probability of a half or
  more), and those of them that do not; successes, missed: those that do, and those of them that it does not foretell.
  These are counts over all branches.

Beside ``out.csv`` it draws ``out.png``: branches with the simulator's frames above the imagined ones.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor

from gipo.analysis import statistics
from gipo.envs.libero import LiberoEnv, Phase, episode_start
from gipo.imagination.convolutional import Clips, ConvolutionalModel
from gipo.imagination.frames import Foretold, RandomFeatures, imagine, psnr
from timing import publish

TASK = "libero_object_0"
CHUNK = 8  # simulator steps
SIDE = 64  # pixels
CONTEXT = 2  # frames
STEPS = 8  # chunks of a branch
SHOWN = 3  # branches that are drawn, evenly spread over all
EPISODES: dict[Phase, int] = {"train": 70, "evaluation": 16}
NOISE = 0.3
"""Most that an action may be off, as a standard deviation; an episode has its own, evenly from 0 on."""
UPDATES = 3000
REACH = 0.05
"""Metres that the arm goes, about, in a simulator step with an action of 1."""


@dataclass(frozen=True)
class Episode:
    """T chunks."""

    frames: Tensor  # uint8 [T + 1, 3, SIDE, SIDE]; the last one is as the one before where the task was solved
    actions: Tensor  # float32 [T, CHUNK, 7]
    success: bool

    @property
    def solved(self) -> Tensor:
        """Whether each chunk solved the task, bool [T]."""
        return (torch.arange(len(self.actions)) == len(self.actions) - 1) & self.success


class Arm:
    """Grasps the thing that the goal names, and lets it go over its place; one call a chunk."""

    def __init__(self, environment: LiberoEnv) -> None:
        _, self.thing, self.place = environment.goal()[0]
        self.environment = environment
        self.phase, self.waited = "above", 0

    def act(self) -> npt.NDArray[np.float64]:
        """An action [7], to be played in all steps of the chunk."""
        hand = self.environment.end_effector()
        thing, place = self.environment.position(self.thing), self.environment.position(self.place)
        above, high = np.array([0.0, 0.0, 0.1]), place[2] + 0.3
        if self.phase == "above" and np.linalg.norm(hand - thing - above) < 0.03:
            self.phase = "down"
        if self.phase == "down" and np.linalg.norm(hand - thing) < 0.02:
            self.phase = "close"
        if self.phase == "close":
            self.waited += 1
            self.phase = "up" if self.waited > 3 else "close"
        if self.phase == "up" and hand[2] > high - 0.05:
            self.phase = "over"
        if self.phase == "over" and np.linalg.norm((hand - place)[:2]) < 0.03:
            self.phase = "open"
        aims = {
            "above": thing + above,
            "down": thing,
            "up": np.array([hand[0], hand[1], high]),
            "over": np.array([place[0], place[1], high]),
        }
        way = (aims.get(self.phase, hand) - hand) * 1.6 / (REACH * CHUNK)
        closed = 1.0 if self.phase in ("close", "up", "over") else -1.0
        return np.concatenate([way, np.zeros(3), [closed]])


def play(environment: LiberoEnv, phase: Phase, number: int) -> Episode:
    """An episode of the scripted arm."""
    generator = np.random.default_rng([number, len(phase)])
    noise = generator.uniform(0, NOISE)
    observation, arm = environment.reset(episode_start(0, phase, number)), Arm(environment)
    frames, chunks = [_small(observation.agentview)], []
    while True:
        action = arm.act()
        action[:3] += noise * generator.normal(size=3)
        chunks.append(np.tile(action.clip(-1, 1), (CHUNK, 1)))
        played = environment.step_chunk(chunks[-1])
        frame = played.observation.agentview
        frames.append(frames[-1] if frame is None else _small(frame))
        if played.done:
            actions = torch.from_numpy(np.stack(chunks)).float()
            return Episode(torch.from_numpy(np.stack(frames)), actions, played.success)


def episodes(phase: Phase) -> Iterator[Episode]:
    """All of a phase."""
    environment = LiberoEnv(TASK)
    for number in range(EPISODES[phase]):
        yield play(environment, phase, number)
    environment.close()


def _small(frame: npt.NDArray[np.uint8] | None) -> npt.NDArray[np.uint8]:
    """A frame upright, each pixel the mean of those that it replaces, [3, SIDE, SIDE]."""
    assert frame is not None
    factor = len(frame) // SIDE
    means = frame[::-1].reshape(SIDE, factor, SIDE, factor, 3).mean((1, 3))
    return means.round().astype(np.uint8).transpose(2, 0, 1)


def clips(played: list[Episode]) -> Clips:
    """All transitions of episodes."""
    before, after = (torch.cat([part(episode.frames) for episode in played]) for part in (_contexts, lambda x: x[1:]))
    solved = torch.cat([episode.solved for episode in played])
    actions = torch.cat([episode.actions for episode in played])
    return Clips(before, actions, after, ~solved, solved.float(), solved.float())


def _contexts(frames: Tensor) -> Tensor:
    """The frames before each chunk, [T, CONTEXT, 3, SIDE, SIDE]; the first one stands for what came before it."""
    padded = torch.cat([frames[:1]] * (CONTEXT - 1) + [frames])
    return padded.unfold(0, CONTEXT, 1).movedim(-1, 1)[:-1]


@dataclass(frozen=True)
class Branch:
    """What was imagined, and what the simulator showed; of one episode, from one frame on."""

    begin: Tensor  # uint8 [3, SIDE, SIDE]
    real: Tensor  # uint8 [L, 3, SIDE, SIDE]
    solved: Tensor  # bool [L]; what solves the task is not drawn
    foretold: Foretold


def branch(model: ConvolutionalModel, episode: Episode, start: int) -> Branch:
    """Imagine with the actions that were played from a chunk on, as far as they go."""
    stop = min(start + STEPS, len(episode.actions))
    chunks = iter(episode.actions[start:stop])
    foretold = imagine(model, lambda _: next(chunks)[None], _contexts(episode.frames)[start : start + 1], stop - start)
    return Branch(episode.frames[start], episode.frames[start + 1 : stop + 1], episode.solved[start:stop], foretold)


def errors(found: list[list[Branch]]) -> list[dict[str, float | str]]:
    """Rows of the table; a list of branches for each episode."""
    features, rows = RandomFeatures(), []
    for name, measure in {"psnr": psnr, "distance": features.distance}.items():
        for kind, shown in {"": lambda b: b.foretold.frames[0], " still": lambda b: b.begin.expand_as(b.real)}.items():
            values = np.full((len(found), max(map(len, found)), STEPS), np.nan)
            for e, of_episode in enumerate(found):
                for b, one in enumerate(of_episode):
                    each = torch.where(one.solved, torch.nan, measure(shown(one), one.real))
                    values[e, b, : len(each)] = each
            by_step = np.nanmean(values, axis=1)  # [episodes, STEPS]
            for step in range(STEPS):
                estimate = statistics.mean(by_step[:, step, None], name, "all", resamples=10_000)
                interval = {"value": estimate.value, "low": estimate.low, "high": estimate.high}
                rows.append({"measure": name + kind, "step": step + 1, **interval, "episodes": estimate.n})
    every = [one for of_episode in found for one in of_episode]
    likely = torch.cat([one.foretold.successes[0] >= 0.5 for one in every])
    solved = torch.cat([one.solved for one in every])
    counts = {
        "successes foretold": likely,
        "refused": likely & ~solved,
        "successes": solved,
        "missed": solved & ~likely,
    }
    return rows + [{"measure": name, "value": int(which.sum())} for name, which in counts.items()]


def draw(found: list[list[Branch]], path: Path) -> None:
    """Frames of some branches, twice as large: the simulator's above, the imagined ones below, in their order."""
    whole = [one for of_episode in found for one in of_episode if len(one.real) == STEPS and not one.solved.any()]
    strips = []
    for one in whole[:: max(1, len(whole) // SHOWN)][:SHOWN]:
        for frames in (one.real, one.foretold.frames[0]):
            strips.append(torch.cat([one.begin, *frames], dim=2))
    picture = torch.cat(strips, dim=1).movedim(0, 2).numpy()
    height, width, _ = picture.shape
    Image.fromarray(picture).resize((2 * width, 2 * height), Image.Resampling.NEAREST).save(path)


def main() -> None:
    learned, unseen = (list(episodes(phase)) for phase in EPISODES)
    torch.set_num_threads(1)
    model = ConvolutionalModel(CONTEXT, learned[0].actions[0].numel(), seed=0)
    model.fit(clips(learned), UPDATES)
    found = [[branch(model, one, start) for start in range(0, len(one.actions), STEPS)] for one in unseen]
    publish(errors(found))
    if len(sys.argv) > 1:
        draw(found, Path(sys.argv[1]).with_suffix(".png"))


if __name__ == "__main__":
    main()
