"""LIBERO at run time: OpenVLA-OFT on frames, or a small network on states to check the engine with."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch

from gipo.engines.suites import Actor, Array
from gipo.engines.suites.network import NetworkActor
from gipo.envs.libero import SPLIT, LiberoEnv, Observation, Start, episode_start
from gipo.envs.libero_shaped import reach
from gipo.learner import Learner, Transitions, untrained_weights
from gipo.models.openvla_oft.images import SIZE, preprocess
from gipo.models.openvla_oft.layout import Layout
from gipo.models.openvla_oft.normalisation import read_statistics
from gipo.models.openvla_oft.prompts import prompt_ids, read_tokenizer
from gipo.models.openvla_oft.tokens import SLOTS, actions_of_tokens, env_actions, normalise_proprio
from gipo.runs.spec import OpenVLASpec, RunSpec, StatesSpec
from gipo.suites.libero_tasks import EPISODES_PER_TASK, evaluation_groups, libero_tasks

if TYPE_CHECKING:  # costs seconds to import, in processes that have no model
    from gipo.models.openvla_oft.packed import PackedPolicy
    from gipo.replicated import ReplicatedLearner


class View(Protocol):
    """The part of LIBERO that depends on the policy: its observations, its actions, and its model."""

    observation_size: int
    observation_dtype: torch.dtype
    action_dimensions: int
    cameras: bool

    def show(self, simulator: LiberoEnv, observation: Observation) -> Array:
        """An observation, [O]."""

    def actions(self, tokens: Array) -> Array:
        """The chunk of actions [n, 7] that tokens [D] stand for."""

    def make_actor(self, device: torch.device) -> Actor:
        """The untrained model, acting."""

    def make_learner(self, transitions: Transitions) -> Learner | ReplicatedLearner:
        """The untrained model, learning."""


class Frames:
    """Frames, proprioception and instruction, as OpenVLA-OFT was trained on them; a step is its chunk."""

    observation_dtype = torch.uint8
    action_dimensions = SLOTS
    cameras = True

    def __init__(self, spec: RunSpec, openvla: OpenVLASpec, pretrained: Path) -> None:
        self.spec, self.openvla = spec, openvla
        self.directory = openvla.directory(pretrained)
        tasks = libero_tasks(spec.task)
        self.layout = Layout(openvla.images)
        self.observation_size = self.layout.size
        self.statistics = read_statistics(self.directory, next(iter(tasks.values())).suite)
        self.instructions = [task.instruction for task in tasks.values()]

    def show(self, simulator: LiberoEnv, observation: Observation) -> Array:
        """Images as the towers take them; blank after a success, when nothing follows."""
        frames = (observation.agentview, observation.wrist)[: self.openvla.images]
        images = [np.zeros((SIZE, SIZE, 3), np.uint8) if frame is None else preprocess(frame) for frame in frames]
        proprio = np.zeros(8)
        if self.openvla.proprio:
            proprio = normalise_proprio(observation.proprio, self.statistics)
        return self.layout.pack(images, proprio, self.instructions.index(observation.instruction))

    def actions(self, tokens: Array) -> Array:
        """The model's own de-tokenisation, [8, 7]."""
        return env_actions(actions_of_tokens(tokens, self.statistics))

    def make_actor(self, device: torch.device) -> Actor:
        """It takes what the learner trains: LoRA and value head."""
        model = self._make_model(device)
        return Actor(model, model.load_trained, device)

    def make_learner(self, transitions: Transitions) -> ReplicatedLearner:
        """On one process or several."""
        from gipo.replicated import ReplicatedLearner

        model = self._make_model(transitions.device)
        if self.openvla.recompute_activations:
            model.policy.recompute_activations()
        return ReplicatedLearner(self.spec, model, transitions)

    def _make_model(self, device: torch.device) -> PackedPolicy:
        """The pretrained model with untrained LoRA and value head, drawn from the run's seed; bfloat16 on a GPU."""
        from gipo.models.openvla_oft.packed import PackedPolicy
        from gipo.models.openvla_oft.policy import OpenVLAOFTPolicy
        from gipo.models.openvla_oft.pretrained import load

        dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
        model = load(self.directory, proprio=self.openvla.proprio, dtype=dtype, device=device)
        tokenizer = read_tokenizer(self.directory)
        prompts = [prompt_ids(tokenizer, instruction) for instruction in self.instructions]
        with untrained_weights(self.spec):
            policy = OpenVLAOFTPolicy(model, self.openvla.rank)
        return PackedPolicy(policy, self.layout, prompts, self.openvla.proprio).to(device)


class States:
    """Poses of hand and objects, one task; a step is one action, held for some simulator steps.

    It checks the engine, and nothing about the paper may be concluded from it.
    """

    observation_size = 192
    """The same for every task; numbers that a task does not need are zeros."""
    observation_dtype = torch.float32
    action_dimensions = 7
    cameras = False

    def __init__(self, spec: RunSpec, states: StatesSpec) -> None:
        self.spec, self.repeat = spec, states.repeat

    def show(self, simulator: LiberoEnv, observation: Observation) -> Array:
        """`LiberoEnv.state_observation`, filled up with zeros."""
        state = simulator.state_observation()
        return np.pad(state, (0, self.observation_size - len(state)))

    def actions(self, tokens: Array) -> Array:
        """``a = -1 + 2 * token / (bins - 1)`` for every dimension, repeated."""
        action = -1 + 2 * tokens.astype(np.float64) / (self.spec.environment.bins - 1)
        return np.tile(action, (self.repeat, 1))

    def make_actor(self, device: torch.device) -> Actor:
        """The network of the run."""
        return NetworkActor(self.spec, self.observation_size, self.action_dimensions, device)

    def make_learner(self, transitions: Transitions) -> Learner:
        """A learner of the untrained network."""
        return Learner(self.spec, transitions)


def make_view(spec: RunSpec, pretrained: Path) -> View:
    """Frames or states, as the run says."""
    if spec.openvla:
        return Frames(spec, spec.openvla, pretrained)
    assert spec.states
    return States(spec, spec.states)


class Episodes:
    """Training episodes: a task of the run and one of its training states, drawn from the seed.

    One scene at a time: building one takes seconds, and each holds up to 2 GB.
    """

    def __init__(self, spec: RunSpec, view: View) -> None:
        self.view, self.tasks, self.horizon = view, list(libero_tasks(spec.task)), spec.environment.episode_steps
        self.reward = reach if spec.states else None
        self.task = ""
        self.episodes = 0

    def reset(self, *, seed: int) -> tuple[Array, dict[str, Any]]:
        """Begin the episode of a seed."""
        random = np.random.default_rng(seed)
        drawn = self.tasks[random.integers(len(self.tasks))]
        task = self.task if self.episodes % EPISODES_PER_TASK else drawn
        self.episodes += 1
        start = Start(SPLIT["train"][random.integers(len(SPLIT["train"]))], int(random.integers(2**32)))
        return self.begin(task, start), {}

    def begin(self, task: str, start: Start) -> Array:
        """Begin an episode."""
        if task != self.task:
            self.close()
            self.simulator = LiberoEnv(task, cameras=self.view.cameras, reward=self.reward, horizon=self.horizon)
            self.task = task
        return self.view.show(self.simulator, self.simulator.reset(start))

    def close(self) -> None:
        """Free the simulator."""
        if self.task:
            self.simulator.close()
            self.task = ""

    def step(self, action: Array) -> tuple[Array, float, bool, bool, dict[str, Any]]:
        """Play what the tokens stand for; LIBERO's episodes end with the first success."""
        played = self.simulator.step_chunk(self.view.actions(action))
        observation = self.view.show(self.simulator, played.observation)
        info = {"success_any": played.success, "success_last": played.success}
        return observation, float(played.rewards.sum()), played.success, played.truncated, info


class LiberoSuite:
    """A LIBERO suite or one of its tasks; see `gipo.engines.suites.RunSuite`."""

    def __init__(self, spec: RunSpec, pretrained: Path) -> None:
        self.spec = spec
        self.view = make_view(spec, pretrained)
        self.observation_size, self.observation_dtype = self.view.observation_size, self.view.observation_dtype
        self.action_dimensions = self.view.action_dimensions

    def make_environment(self) -> Episodes:
        """A new simulator."""
        return Episodes(self.spec, self.view)

    def make_actor(self, device: torch.device) -> Actor:
        """A model with weights to come."""
        return self.view.make_actor(device)

    def make_learner(self, transitions: Transitions) -> Learner | ReplicatedLearner:
        """A learner of the untrained model."""
        return self.view.make_learner(transitions)

    def start_of(self, episode: int) -> dict[str, Any]:
        """Task, initial state and seed of the fixtures: episode e plays task e modulo their number."""
        tasks = list(libero_tasks(self.spec.task))
        turn, number = divmod(episode, len(tasks))
        return {"task": tasks[number], **asdict(episode_start(self.spec.seed, "evaluation", turn))}

    def evaluation_groups(self) -> list[range]:
        """Some episodes of one task each, so that they share a scene."""
        return evaluation_groups(self.spec.task, self.spec.evaluation.episodes)

    def evaluate(self, actor: Actor, update: int, episodes: range) -> list[dict[str, Any]]:
        """Play episodes one after the other, by the most probable tokens."""
        environment = self.make_environment()
        rows = []
        for episode in episodes:
            start = self.start_of(episode)
            observation = environment.begin(start.pop("task"), Start(**start))
            total, ended = 0.0, False
            while not ended:
                observation, reward, terminated, truncated, info = environment.step(actor.best(observation[None])[0])
                total, ended = total + reward, terminated or truncated
            rows.append({"episode": episode, "return": total, **info})
        environment.close()
        return rows


def make_suite(spec: RunSpec, pretrained: Path) -> LiberoSuite:
    """The suite of a LIBERO run; see `gipo.engines.suites.make_suite`."""
    return LiberoSuite(spec, pretrained)
