"""RunSpec: everything that determines the numbers of one run, and nothing else.

Machine settings (worker processes, device, checkpoint interval) are not part of it: they may not change a result.
Defaults are the paper's MetaWorld setting [P], or that of the authors' code where the paper has none [C], or ours where
neither says [R]; a scale config overrides them.
"""

from __future__ import annotations

import itertools
import math
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import AfterValidator, Field, model_validator

from gipo import suites
from gipo.config import (
    LEAST,
    Flag,
    Label,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    Section,
    Seed,
    UnitInterval,
)
from gipo.errors import GipoError

Key = Annotated[str, Field(max_length=64)]
"""Name of a setting."""
Word = Annotated[str, Field(max_length=64)]
"""A setting that is no number."""
Steps = Annotated[PositiveInt, Field(le=10**5)]
"""Steps of an episode or a part of one, at most 100,000."""
Tokens = Annotated[int, Field(ge=2, le=256, strict=True)]
"""Tokens per action dimension."""
Width = Annotated[PositiveInt, Field(le=2**14)]
"""Units of a layer, at most 16,384."""
Processes = Annotated[PositiveInt, Field(le=10**4)]
"""Environments side by side, at most 10,000."""


class ObjectiveSpec(Section):
    """A policy objective: its registered name, or ``module:name``, and its parameters (see `gipo.objectives.make`)."""

    name: Annotated[str, Field(pattern=r"^\w+(\.\w+)*(:\w+)?$", max_length=200)]
    """A registered name, e.g. ``gipo``, or ``module:name`` of a module that Python finds, also in the working
    directory."""
    parameters: Annotated[dict[Key, Annotated[float, Field(strict=True)] | Word], Field(max_length=50)] = Field(
        default_factory=dict
    )
    """Settings of the objective, e.g. ``{sigma_pos: 1.0, sigma_neg: 0.5}``; what is left out has its default."""


class EnvironmentSpec(Section):
    """The action discretisation and the time limit."""

    bins: Tokens = 256
    """Tokens per action dimension."""
    episode_steps: Steps = 500
    """Time limit of an episode in env steps."""


class NetworkSpec(Section):
    """Widths of `gipo.models.mlp.MLPPolicy`."""

    hidden: Width = 512
    """Units of each hidden layer of the policy [C]."""
    value_hidden: Width = 256
    """Units of the value head's hidden layer [C]."""
    detach_value: Flag = True
    """The value loss does not train the encoder [C]; false: it does."""


CHECKED = 16
"""Steps of a branch that is compared with the simulator (`gipo.imagination.checks`)."""
LEAST_SEGMENTS = 21
"""Segments that a world model is fitted to, at least: among so many in a row one is held out
(`gipo.imagination.branches.split`)."""
POLICIES = ("openvla", "states")
"""Sections of a run that choose another policy than `NetworkSpec` on the suite's own observations."""

TINY = "tiny-random"
"""Repository of a pretrained model that is no published one, see `gipo.models.openvla_oft.tiny`."""


class OpenVLASpec(Section):
    """The OpenVLA-OFT policy of a LIBERO run, in place of the network."""

    repository: Annotated[str, Field(pattern=r"^\w[\w.-]*(/\w[\w.-]*)?$", max_length=128)]
    """Repository of the pretrained model on Hugging Face; ``tiny-random`` is a tiny model of random weights."""
    revision: Label
    """Commit of the repository, 40 hexadecimal digits, because a branch may move; of ``tiny-random``: ``seed-<n>``."""
    rank: Width = 32
    """Rank of the LoRA matrices [C]."""
    images: Annotated[int, Field(ge=1, le=2, strict=True)] = 1
    """Camera frames that the policy is shown: 1, of the scene; 2, of the scene and of the hand."""
    proprio: Flag = False
    """Whether the policy is shown the robot's normalised proprioception beside the frames."""
    recompute_activations: Flag = False
    """Whether the learner computes the language model's activations again in the backward pass instead of keeping them:
    less memory, more time, the same updates. Set for a study, not a machine, so that no run's arithmetic follows from
    the memory that is free."""

    def directory(self, pretrained: Path) -> Path:
        """Where its files lie."""
        return pretrained / self.repository / self.revision

    @property
    def is_tiny(self) -> bool:
        """No published model: nothing about the paper follows from such a run."""
        return self.repository == TINY


class StatesSpec(Section):
    """LIBERO on states, rewarded by `gipo.envs.libero_shaped`: checks the engine; nothing about the paper follows."""

    repeat: Steps = 8
    """Simulator steps that an action is held for."""


class StoreSpec(Section):
    """The replay, FIFO with uniform sampling, and the environments that feed it."""

    capacity: Annotated[PositiveInt, Field(le=10**8)] = 3_200_000
    """Transitions: 50,000 segments of 64 steps [P, C]."""
    segment_length: Steps = 64
    """Steps that an environment contributes per round, one replay segment."""
    environments: Processes = 16
    """Environments stepped side by side."""
    group_size: Processes = 8
    """Environments, or episodes of evaluation, that share one inference batch, in one worker."""
    warmup_steps: Annotated[PositiveInt, Field(le=10**8)] = 2048
    """Env steps collected before the first update [R]."""
    segments: Literal["continuous", "per-episode"] = "continuous"
    """Lockstep: continuous segments go on into the next episode; per episode, a segment that an episode ends in is cut
    there, and its environment waits for the next round, as in the study's code [C]."""
    rounds: Literal["overlapped", "in-turn"] = "overlapped"
    """Lockstep: overlapped rounds learn on what was there before they collect; in turn, a round collects first and
    learns on that too, as in the released code [C]."""

    @property
    def groups(self) -> range:
        """Numbers of the groups of environments; the last one may be smaller than the others."""
        return range(-(-self.environments // self.group_size))

    def members(self, group: int) -> range:
        """Numbers of the environments of a group."""
        first = group * self.group_size
        return range(first, min(first + self.group_size, self.environments))


Lifetime = Annotated[float, Field(ge=1e-6, le=1000, strict=True)]
"""A replay lifetime as a share of all learner updates, from 1e-6 to 1000."""


class ReplaySpec(StoreSpec):
    """The replay in a regime: replaced once in L learner updates."""

    lifetime: Lifetime | None = 0.874
    """L as a share of all learner updates [R]: 0.0855 is the paper's fresh regime, 0.874 its stale one. Collection and
    learning wait for each other to keep to it; null: neither waits, and so many environments make the lag."""


Ratio = Annotated[int, Field(ge=0, le=100, strict=True)]
"""Imagined transitions to each real one, from 0 to 100."""
LearningRate = Annotated[float, Field(ge=LEAST, le=1, strict=True)]
"""From `gipo.config.LEAST` to 1."""


class LearnerSpec(Section):
    """The learner's update (eq. 9-11) and its schedule."""

    updates: Annotated[PositiveInt, Field(le=10**8)] = 100_000
    """Learner updates of a run [P]."""
    batch_size: Annotated[PositiveInt, Field(ge=2, le=10**6)] = 512
    """Transitions per micro-batch, at least 2: advantages are normalised within it."""
    accumulation: Annotated[PositiveInt, Field(le=10**4)] = 4
    """Micro-batches per update."""
    policy_learning_rate: LearningRate = 3e-5
    """Largest learning rate of the policy, at most 1."""
    value_learning_rate: LearningRate = 3e-5
    """Largest learning rate of the value head, at most 1."""
    warmup_updates: NonNegativeInt = 1000
    """Linear warm-up of both learning rates; a cosine to 0 follows."""
    policy_warmup: Literal["from-start", "from-policy-start"] = "from-policy-start"
    """First update of the policy's warm-up: the run's, or `policy_start` [C]."""
    policy_start: NonNegativeInt = 500
    """First update that moves the policy, before the last one; until then only the value learns."""
    policy_every: PositiveInt = 1
    """From `policy_start` on, every so many updates move the policy; the released single-file script has 10 [C]."""
    uses: PositiveInt = 1
    """Updates in a row on the same transitions; where policy_every is above 1, the policy moves on the first of them.
    The released single-file script has 10 [C]."""
    sampling: Literal["independent", "distinct", "segments"] = "independent"
    """How an update's transitions are drawn from the replay: each on its own; none of them twice, as in the released
    single-file script; or as whole segments, as in the study's code [C]."""
    weight_decay: UnitInterval = 0.0
    """Decoupled weight decay of AdamW [C]."""
    schedule: Literal["update", "round"] = "update"
    """When learning rates change: with every update; or with every round of collection, as in the released single-file
    script, which also counts rounds without updates [C]."""
    joint_ratio: Flag = False
    """One ratio for the whole action, the product over its dimensions; false: one per dimension [C]."""
    gradient_clip: PositiveFloat = 1.0
    """Largest norm of an update's gradient, of policy and value together."""
    value_coefficient: NonNegativeFloat = 0.5
    """Factor of the value loss in the total (eq. 9-11) [C]."""
    entropy_coefficient: NonNegativeFloat = 0.01
    """Factor of the entropy, which is subtracted from the total (eq. 9-11) [C]."""
    kl_coefficient: NonNegativeFloat = 0.1
    """Factor of KL(mu || pi) in the total (eq. 9-11) [C]."""
    kl: Literal["sample", "exact"] = "sample"
    """How KL(mu || pi) is estimated: by the taken tokens; or exactly, from the logits of mu, which the replay keeps
    then, as in the released code [C]."""
    advantage_scope: Literal["micro-batch", "update"] = "update"
    """Transitions over which advantages are normalised: all of an update [C], or each micro-batch on its own."""
    advantage_deviation: Literal["sample", "population"] = "population"
    """Standard deviation that advantages are divided by: with n below the sum of squares [C], or with n - 1."""
    reward_scale: PositiveFloat = 0.01
    """Factor of every reward before targets are computed."""
    gamma: UnitInterval = 0.99
    """Discount factor per step."""
    gae_lambda: UnitInterval = 0.95
    """Lambda of generalised advantage estimation."""
    estimator: Literal["gae", "vtrace"] = "gae"
    """How advantages and value targets are estimated; vtrace needs refresh_every or targets of every batch."""
    targets: Literal["stored", "batch"] = "stored"
    """Whether targets are those that were stored, or computed anew for every batch by the model of that update, as the
    study's code does for V-trace [C]; that needs whole segments."""
    refresh_every: PositiveInt | None = None
    """Recompute the targets of the whole replay every so many updates; null: frozen once stored, as in [C]."""
    vtrace_weighted: Flag = False
    """Whether V-trace's advantages carry the factor min(1, rho) of the joint action, as in the study's code [C]."""
    truncation_bootstraps: Flag = False
    """Whether the value of the last observation stands for what would follow an episode's time limit; false: the time
    limit is the end of the task [C]."""

    @model_validator(mode="after")
    def _vtrace_needs_refresh(self) -> LearnerSpec:
        if self.estimator == "vtrace" and self.refresh_every is None and self.targets == "stored":
            raise ValueError(
                "estimator vtrace corrects for the lag only where refresh_every is set, or targets = batch"
            )
        if self.targets == "batch" and (self.sampling != "segments" or self.refresh_every):
            raise ValueError("targets = batch needs sampling = segments, and no refresh_every")
        if self.vtrace_weighted and self.estimator != "vtrace":
            raise ValueError("vtrace_weighted = true needs estimator = vtrace")
        return self

    @model_validator(mode="after")
    def _targets_are_refreshed(self) -> LearnerSpec:
        if self.refresh_every is not None and self.refresh_every > self.updates:
            raise ValueError(f"nothing is recomputed: refresh_every = {self.refresh_every}, updates = {self.updates}")
        return self

    @model_validator(mode="after")
    def _policy_moves(self) -> LearnerSpec:
        if self.policy_start >= self.updates:
            raise ValueError(f"the policy never moves: policy_start = {self.policy_start}, updates = {self.updates}")
        return self

    def due(self, every: int) -> list[int]:
        """Updates after which something happens that happens every so many, and after the last one."""
        return [*range(every, self.updates, every), self.updates]


class EvaluationSpec(Section):
    """Evaluation of the policy on episodes of its own seeds."""

    every: PositiveInt = 2_000
    """Learner updates between evaluations; the first is before training, the last after it."""
    episodes: Annotated[PositiveInt, Field(le=10**4)] = 10
    """Episodes of each evaluation [R]."""
    action: Literal["sampled", "most-probable"] = "most-probable"
    """Tokens that are played: the most probable ones [C], or sampled ones, which OpenVLA is not asked for."""


class DiagnosticsSpec(Section):
    """Logging of `gipo.diagnostics`."""

    every: PositiveInt = 100
    """Learner updates between logged rows."""
    old_gap: UnitInterval = 0.1
    """K as a share of all learner updates: a sample is old from this version gap on (K = 10,000 of 100,000 [R])."""


class AsynchronousSpec(Section):
    """The asynchronous engine: every group of environments, the inference, the replay and the learner on their own."""

    inference_batch: Processes = 8
    """The most observations in a pass of the inference, which serves whoever waits [R]; in [C] it waits up to 0.3 s for
    so many."""
    recompute_values: Flag = False
    """Compute targets from the newest policy's values when a segment is complete; false: from the values of the policy
    that played it [C]."""


ImaginedReward = Literal["environment", "success"]
"""Reward of a run with imagined transitions."""


class ImaginationSettings(Section):
    """A world model of the run, and branches that are imagined with it (`gipo.imagination`)."""

    length: Annotated[PositiveInt, Field(le=64)] = 4
    """Steps of a branch, at most 64 [R]."""
    lifetime: Lifetime = 0.05
    """Learner updates in which the imagined transitions are replaced once, as a share of all updates [R]: how stale
    they get, as `ReplaySpec.lifetime` says it of the real ones."""
    disagreement: PositiveFloat | None = None
    """A branch ends before a step on which the members of the model disagree by more than this, in standard deviations
    of an observation (`gipo.imagination.model.WorldModel.predict`); null: no branch ends before its last step."""
    warmup_steps: Annotated[PositiveInt, Field(le=10**8)] = 1024
    """Env steps collected before the model is fitted for the first time; until then updates are of real transitions
    alone [R]."""
    refit_every: PositiveInt = 500
    """Learner updates after which the model is fitted again, in the next round (asynchronous: before the next request
    of batches), to what the replay holds then [R]."""
    fit_steps: Annotated[PositiveInt, Field(le=10**6)] = 600
    """Most optimiser steps of a fit, which held-out transitions may end before [R]."""
    hidden: Width = 128
    """Units of each of the two hidden layers of a member of the model [R]."""
    branches: Annotated[PositiveInt, Field(le=10**4)] = 32
    """Branches that are compared with the simulator at every evaluation; its env steps there are not learned from."""


class ImaginationSpec(ImaginationSettings):
    """The world model in a regime: how much of an update is imagined."""

    ratio: Ratio
    """Imagined transitions to each real one, in an update and in store; 0: the model is fitted and compared with the
    simulator, and nothing is learned from it."""
    reward: ImaginedReward = "environment"
    """Reward of real and imagined steps: the simulator's, which the model foretells; or ``success``, for real ones 1
    where the task becomes solved and -1 where it ceases to be, for imagined ones the change of its probability [H]. It
    is not scaled by `LearnerSpec.reward_scale`, as LIBERO's is not."""


def _known_suite(name: str) -> str:
    try:
        return suites.get(name).name
    except GipoError as error:
        raise ValueError(str(error)) from error


_NAMES: list[Any] = list(suites.names())
SuiteName = Annotated[str, AfterValidator(_known_suite), Field(json_schema_extra={"enum": _NAMES})]
"""Name of a suite in the catalogue, `gipo.suites`."""


class RunSpec(Section):
    """One training run. Its identity is the digest of its content."""

    suite: SuiteName = "metaworld"
    """Benchmark suite."""
    task: Label
    """Task of the suite."""
    regime: Label
    """Label of the replay's setting; it decides nothing."""
    method: Label
    """Label of the objective with its setting; it decides nothing."""
    seed: Seed
    """Seed of everything random in the run."""
    objective: ObjectiveSpec
    """The policy's loss."""
    environment: EnvironmentSpec = EnvironmentSpec()
    """Action discretisation and time limit."""
    network: NetworkSpec = NetworkSpec()
    """Policy and value network, where no other policy is chosen."""
    openvla: OpenVLASpec | None = None
    """LIBERO on frames, with this policy in place of `network`."""
    states: StatesSpec | None = None
    """LIBERO on states, with `network`."""
    replay: ReplaySpec = ReplaySpec()
    """Replay and collection."""
    learner: LearnerSpec = LearnerSpec()
    """Updates and their schedule."""
    evaluation: EvaluationSpec = EvaluationSpec()
    """When and how long the policy is evaluated."""
    diagnostics: DiagnosticsSpec = DiagnosticsSpec()
    """When statistics are logged."""
    asynchronous: AsynchronousSpec | None = None
    """Settings of the asynchronous engine; null: the lockstep engine."""
    imagination: ImaginationSpec | None = None
    """World model with imagined transitions; null: only real ones."""

    @model_validator(mode="after")
    def _engine_can(self) -> RunSpec:
        if self.asynchronous and self.learner.refresh_every:
            raise ValueError("learner.refresh_every (and with it estimator vtrace) needs the lockstep engine")
        suite = suites.get(self.suite)
        if not self.asynchronous:
            if not suite.lockstep:
                raise ValueError(f"suite {self.suite} needs the asynchronous engine")
            if self.replay.lifetime is None:
                raise ValueError("a regime by its number of actors needs the asynchronous engine")
        given = [name for name in POLICIES if getattr(self, name)]
        if len(given) != bool(suite.policies) or not set(given) <= set(suite.policies):
            needs = f"one of {' and '.join(suite.policies)}" if suite.policies else f"neither {' nor '.join(POLICIES)}"
            raise ValueError(f"suite {self.suite} needs {needs}; given: {' and '.join(given) or 'none'}")
        return self

    @model_validator(mode="after")
    def _sizes_fit(self) -> RunSpec:
        replay, batch = self.replay, self.learner.batch_size
        if replay.capacity < batch:
            raise ValueError(f"replay.capacity = {replay.capacity} is smaller than learner.batch_size = {batch}")
        if replay.capacity % replay.segment_length:
            raise ValueError(
                f"replay.capacity = {replay.capacity} is not a multiple of replay.segment_length = "
                f"{replay.segment_length}"
            )
        if replay.capacity < self.round_steps:
            raise ValueError(
                f"replay.capacity = {replay.capacity} is smaller than one round of collection, replay.environments x "
                f"replay.segment_length = {self.round_steps}"
            )
        if replay.segment_length > self.environment.episode_steps:
            raise ValueError(
                f"replay.segment_length = {replay.segment_length} is longer than environment.episode_steps = "
                f"{self.environment.episode_steps}"
            )
        return self

    @model_validator(mode="after")
    def _conventions_fit(self) -> RunSpec:
        learner, replay = self.learner, self.replay
        of_rounds = {
            "learner.uses": learner.uses > 1,
            "learner.sampling": learner.sampling != "independent",
            "learner.schedule": learner.schedule == "round",
            "learner.kl": learner.kl == "exact",
            "replay.rounds": replay.rounds == "in-turn",
            "replay.segments": replay.segments == "per-episode",
        }
        if self.asynchronous and (chosen := [name for name, is_chosen in of_rounds.items() if is_chosen]):
            section, name = chosen[0].split(".")
            value = getattr(getattr(self, section), name)
            raise ValueError(f"{chosen[0]} = {value} needs the lockstep engine")
        if self.openvla and self.environment.bins != EnvironmentSpec().bins:
            raise ValueError(f"environment.bins = {self.environment.bins}, but OpenVLA's actions have 256 tokens")
        if self.openvla and self.evaluation.action == "sampled":
            raise ValueError("evaluation.action = sampled: OpenVLA is evaluated by its most probable tokens")
        if learner.uses > 1 and learner.policy_every > 1 and learner.policy_every % learner.uses:
            raise ValueError(
                f"learner.policy_every = {learner.policy_every} is neither 1 nor a multiple of learner.uses = "
                f"{learner.uses}: the policy moves on the first use of a batch"
            )
        if learner.policy_start % learner.uses:
            raise ValueError(f"learner.policy_start = {learner.policy_start} is no multiple of learner.uses")
        counts_rounds = learner.uses > 1 or learner.schedule == "round"
        if (
            counts_rounds
            and replay.segments == "per-episode"
            and self.environment.episode_steps % replay.segment_length
        ):
            raise ValueError(
                "learner.uses above 1 and learner.schedule = round need rounds of equal length: replay.segments = "
                "per-episode with a replay.segment_length that divides environment.episode_steps, or continuous"
            )
        if counts_rounds and (
            self.updates_per_round != int(self.updates_per_round) or self.updates_per_round % learner.uses
        ):
            raise ValueError(
                f"a round pays for {self.updates_per_round:g} updates (replay.lifetime x learner.updates x its env "
                f"steps / replay.capacity), learner.uses = {learner.uses} and learner.schedule = {learner.schedule} "
                "need a whole number, and a multiple of the uses"
            )
        if learner.schedule == "round" and replay.warmup_steps % self.round_steps:
            raise ValueError(f"learner.schedule = round needs a multiple of {self.round_steps} as replay.warmup_steps")
        if learner.sampling == "distinct" and self.transitions_per_update > self._transitions_at_start:
            raise ValueError(
                f"learner.sampling = distinct: an update takes {self.transitions_per_update:,} transitions, the first "
                f"one finds {self._transitions_at_start:,}; raise replay.warmup_steps"
            )
        return self

    @model_validator(mode="after")
    def _can_imagine(self) -> RunSpec:
        imagination, replay, learner = self.imagination, self.replay, self.learner
        if imagination is None:
            return self
        fixed = {
            "openvla": (self.openvla, None),
            "states": (self.states, None),
            "replay.segments": (replay.segments, "continuous"),
            "learner.sampling": (learner.sampling, "independent"),
            "learner.targets": (learner.targets, "stored"),
            "learner.refresh_every": (learner.refresh_every, None),
            "learner.uses": (learner.uses, 1),
            "learner.kl": (learner.kl, "sample"),
        }
        for name, (value, needed) in fixed.items():
            if value != needed:
                given = f"{name} = {value}" if isinstance(value, str | int) else f"section {name}"
                raise ValueError(f"imagination cannot go with {given}; leave that out")
        if imagination.reward == "success" and self.asynchronous:
            raise ValueError("regimes with reward: success cannot go with section asynchronous; drop one of the two")
        if imagination.reward == "success" and not imagination.ratio:
            raise ValueError("regimes with reward: success need imagined transitions, so imagined: 1 or more")
        if 2 * imagination.length >= replay.segment_length:
            raise ValueError(
                f"imagination.length = {imagination.length} needs a replay.segment_length above "
                f"{2 * imagination.length}, got {replay.segment_length}: where a branch begins, no episode may end soon"
            )
        if self.environment.episode_steps <= CHECKED:
            raise ValueError(
                f"imagination needs environment.episode_steps above {CHECKED}, the longest branch that is compared "
                f"with the simulator, got {self.environment.episode_steps}"
            )
        least = LEAST_SEGMENTS * replay.segment_length
        sizes = {"imagination.warmup_steps": imagination.warmup_steps, "replay.capacity": replay.capacity}
        for name, value in sizes.items():
            if value < least:
                raise ValueError(
                    f"{name} = {value}: a world model needs {LEAST_SEGMENTS} segments, one of which is held out, so "
                    f"{least} transitions"
                )
        steps = replay.warmup_steps + math.floor(learner.updates * replay.capacity / self.lifetime_updates)
        if imagination.warmup_steps > steps:
            raise ValueError(
                f"nothing is imagined: imagination.warmup_steps = {imagination.warmup_steps:,}, the run has about "
                f"{steps:,} env steps"
            )
        return self

    @property
    def evaluation_groups(self) -> list[range]:
        """Numbers of the evaluation episodes, by as many as environments share an inference batch."""
        count, size = self.evaluation.episodes, self.replay.group_size
        return [range(first, min(first + size, count)) for first in range(0, count, size)]

    @property
    def transitions_per_update(self) -> int:
        """Transitions that an update learns from."""
        return self.learner.accumulation * self.learner.batch_size

    @property
    def updates_per_round(self) -> float:
        """Learner updates that a round of collection pays for; infinite where nothing paces them."""
        return self.round_steps * self.lifetime_updates / self.replay.capacity

    @property
    def _transitions_at_start(self) -> int:
        """Transitions in the replay at the first update."""
        if not math.isfinite(self.lifetime_updates):
            return self.replay.warmup_steps
        paid = self.replay.warmup_steps + self.replay.capacity / self.lifetime_updates
        enough = min(paid, self.replay.capacity)
        least = math.ceil(enough / self.round_steps)
        return min(
            self.replay.capacity, next(n for n in map(self.env_steps_after, itertools.count(least)) if n >= enough)
        )

    def env_steps_after(self, rounds: int) -> int:
        """Env steps of so many rounds of collection, where only the time limit ends an episode."""
        if self.replay.segments == "continuous":
            return rounds * self.round_steps
        limit, steps = self.environment.episode_steps, self.replay.segment_length
        episodes, more = divmod(rounds, math.ceil(limit / steps))
        return self.replay.environments * (episodes * limit + min(more * steps, limit))

    @property
    def round_steps(self) -> int:
        """Env steps collected per round, over all environments."""
        return self.replay.environments * self.replay.segment_length

    @property
    def lifetime_updates(self) -> float:
        """L: learner updates in which the replay is replaced once; infinite where it is not set."""
        if self.replay.lifetime is None:
            return math.inf
        return round(self.replay.lifetime * self.learner.updates, 6)  # a share written with ten digits gives whole ones

    @property
    def old_gap_updates(self) -> float:
        """K: version gap from which a sample is old, in learner updates."""
        return self.diagnostics.old_gap * self.learner.updates

    @property
    def run_id(self) -> str:
        """``task/regime/method/seedN-digest``: readable, and another run for any other content."""
        return f"{self.task}/{self.regime}/{self.method}/seed{self.seed}-{self.digest()[:8]}"

    def generator(self, *key: int) -> np.random.Generator:
        """Random stream number ``key`` of this run's seed; equal keys give equal streams, in any order of calls."""
        return np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=key))
