"""Memory and time that a job asks SLURM for: a model of the run, and what `gipo plan --save FILE` measured for it.

Used by the rules, by `gipo plan` and by the doctor. Nothing heavy is imported.
"""

from __future__ import annotations

import math
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gipo import paper
from gipo.errors import GipoError
from gipo.files import read_json

if TYPE_CHECKING:
    from gipo.runs.spec import RunSpec
    from gipo.scale import Scale

PLAN = Path("results/plan.json")
"""Predictions by run id, of all scales that were planned, below the working directory."""
PREDICTED = ("acting", "learning", "gpu_learning")
"""Of each run: seconds of a core, of the learner on a core and on a GPU."""
START_MINUTES = 10
"""Minutes added to every prediction, which leaves out two starts of Snakemake, imports and a restored checkpoint."""
HEADROOM = 2.0
"""Factor on a predicted time: runs that share a node are slower than one that is measured alone."""

ENV_STEP = 1e-3
"""Seconds of a core per MetaWorld step with its inference; 0.6 ms were measured on an AMD EPYC."""
FIT_STEP, IMAGINED_STEP = 0.01, 5e-5
"""Seconds of a core per optimiser step of a world model, and per imagined step; 8 ms and 0.03 ms were measured with 128
hidden units."""
SIMULATOR_STEP = 0.1
"""Seconds of a core per LIBERO step; 8 to 14 steps a second were measured."""
MICRO_BATCH = 5e-3
"""Seconds of a core per micro-batch beside its arithmetic; measured."""
FLOPS = 5e10
"""Operations per second of a core in an update, which 2,048 samples of the paper's network reach."""

LEARNER_MB = 1500
"""Memory of a process that learns, without its replay, with the two Snakemake processes that start it. 1,000 MB were
measured."""
COLLECTOR_MB = 1000
"""Memory of a process that collects on MetaWorld, MB."""
SIMULATOR_MB = 1870
"""Memory of a LIBERO simulator, MB; measured."""
GPU_PROCESS_MB = 3000
"""Host memory that a process on a GPU takes beside its data, MB [R]."""
ENGINE_MB = 6000
"""Memory of Ray, its object store, the supervisor and Snakemake in a run of the asynchronous engine, MB [R]."""
TRANSITION_BYTES = 210
"""Of a transition in the replay (`gipo.replay.Replay`), with its part of the segment and without logits."""
FRAME_BYTES = 224 * 224 * 3
"""Of a camera frame in the replay (`gipo.models.openvla_oft.layout`)."""
CHUNK_BYTES = 600
"""Of a LIBERO transition in the replay beside its frames: 56 tokens with their log-probabilities, proprioception."""
RESAMPLE = 1.7e-5
"""Seconds of a core for one bootstrap resample of one run, in the longest figure: 684 s were measured at 800 runs and
50,000 resamples."""
TRACK = 0.25
"""Seconds to take a run into the MLflow store; measured."""
EVALUATION_SIMULATORS = 4
"""In which a run plays evaluation episodes at once; the learner need not wait for the evaluation then
(benchmarks/engine_model.py)."""
OTHERS = 3
"""Cores of a run of the asynchronous engine beside those of its simulators."""
GPUS = 8
"""Of a run that starts from a published model [P]."""
TRAINED = 126_000_000
"""Weights of a published model that are trained: LoRA, action rows and value head."""
CHUNK = 8
"""Simulator steps of a LIBERO transition."""
ACTION_DIMENSIONS = 7
"""The most that a lockstep suite's actions have."""


def memory_mb(run: RunSpec, threads: int = 1, gpus: int = 0) -> int:
    """Memory of a run with all its processes at its peak, MB.

    Args:
        run: the run.
        threads: of the lockstep engine: the first learns, the others collect; a single one does both.
        gpus: that the run has.
    """
    if not run.asynchronous:
        copies = 2 if gpus else 5  # of the replay, while its checkpoint is read; on a GPU lies the replay itself
        own = LEARNER_MB + bool(gpus) * GPU_PROCESS_MB + (threads - 1) * COLLECTOR_MB
        return math.ceil(own + copies * replay_mb(run))
    simulators = run.replay.environments + evaluation_simulators(run, cores_of(run))
    models = learners(run, gpus) + 2
    own = ENGINE_MB + simulators * SIMULATOR_MB + models * (GPU_PROCESS_MB if gpus else LEARNER_MB)
    copies = 3 if run.imagination else 1  # the learner's checkpoint has what was imagined, and a fit takes the rest
    return math.ceil(own + copies * replay_mb(run))


def replay_mb(run: RunSpec) -> float:
    """Size of a full replay, MB; a checkpoint of the lockstep engine holds one."""
    size = TRANSITION_BYTES
    if run.openvla:
        size = run.openvla.images * FRAME_BYTES + CHUNK_BYTES
    if run.learner.kl == "exact":
        size += 4 * ACTION_DIMENSIONS * run.environment.bins
    imagined = 0.0
    if run.imagination:  # a branch has two more observations
        imagined = run.imagination.ratio * (1 + 2 / run.imagination.length)
    return (1 + imagined) * run.replay.capacity * size / 1e6


def files_mb(run: RunSpec) -> float:
    """Size of what an unfinished run keeps on disk, MB: its replay, weights, and AdamW's two moments of each."""
    return replay_mb(run) + 3 * 4 * (TRAINED if needs_gpu(run) else weights(run)) / 1e6


def minutes(run: RunSpec, threads: int, attempt: int = 1, longest: int | None = None) -> int:
    """Minutes that a run asks for: what was planned for it, else what `seconds` says.

    Args:
        run: the run.
        threads: as in `memory_mb`.
        attempt: the first is 1.
        longest: the most that may be asked for, where there is a limit.
    """
    if predicted := planned().get(run.run_id):
        acting, learning = predicted["acting"], predicted["gpu_learning"] or predicted["learning"]
    else:
        acting, learning = seconds(run)
    wall = learning + acting / max(1, threads - 1)
    if run.asynchronous:
        wall = max(learning, acting / run.replay.environments)
    asked = attempt * (START_MINUTES + math.ceil(HEADROOM * wall / 60))
    return asked if longest is None else min(longest, asked)


def seconds(run: RunSpec) -> tuple[float, float]:
    """Seconds of a core that a run which nobody measured acts and learns, by the rates above.

    On a published model it learns on GPUs, as fast as the paper's runs [P], which includes all that happens meanwhile.
    """
    learner, evaluation = run.learner, run.evaluation
    evaluated = (
        (1 + math.ceil(learner.updates / evaluation.every)) * evaluation.episodes * run.environment.episode_steps
    )
    collected = run.replay.warmup_steps + learner.updates * run.replay.capacity / run.lifetime_updates
    if needs_gpu(run):
        cost = {key: number.value for key, number in paper.group("cost.libero").items()}
        every = cost["days"] * 86_400 / paper.number("updates/libero").value
        return collected * CHUNK * SIMULATOR_STEP, learner.updates * every
    arithmetic = 6 * learner.batch_size * weights(run) / FLOPS
    learning = learner.updates * learner.accumulation * (MICRO_BATCH + arithmetic)
    if imagination := run.imagination:
        learning += math.ceil(learner.updates / imagination.refit_every) * imagination.fit_steps * FIT_STEP
        learning += imagination.ratio * run.replay.capacity / imagination.lifetime * IMAGINED_STEP
        branches = math.ceil(learner.updates / evaluation.every) * imagination.branches
        learning += branches * run.environment.episode_steps * ENV_STEP
    if run.asynchronous:
        return (collected * CHUNK + evaluated) * SIMULATOR_STEP, learning
    return (collected + evaluated) * ENV_STEP, learning


def weights(run: RunSpec) -> int:
    """Weights of the network (`gipo.models.mlp.MLPPolicy`), about."""
    network = run.network
    return network.hidden * (network.hidden + network.value_hidden + 4 * run.environment.bins)


def cores_of(run: RunSpec) -> int:
    """Cores of a run of the asynchronous engine: each simulator's, and `OTHERS`."""
    return run.replay.environments + OTHERS + min(EVALUATION_SIMULATORS, run.evaluation.episodes)


def evaluation_simulators(run: RunSpec, cores: int) -> int:
    """Processes in which the evaluator of such a run plays, on so many cores: those that nobody else needs."""
    free = cores - run.replay.environments - OTHERS
    return max(1, min(EVALUATION_SIMULATORS, run.evaluation.episodes, free))


def needs_gpu(run: RunSpec) -> bool:
    """Whether it starts from a published model, of 7B."""
    return run.openvla is not None and not run.openvla.is_tiny


def gpus_of(run: RunSpec) -> int:
    """GPUs that a run of the asynchronous engine asks for; where the machine has fewer, it takes those."""
    return GPUS if needs_gpu(run) else 0


def learners(run: RunSpec, gpus: int) -> int:
    """Processes of a learner on so many GPUs: two are left to inference and evaluation, and shares are equal."""
    most = max(1, gpus - 2) if run.openvla else 1
    return next(number for number in range(most, 0, -1) if run.learner.batch_size % number == 0)


def gpus_with(learners: int) -> int:
    """GPUs of a run with so many processes of its learner: inference and evaluation share a single one with it."""
    return learners + 2 if learners > 1 else 1


def analysis_minutes(runs: int, resamples: int) -> int:
    """Minutes of the longest job that follows training, for a study of so many runs."""
    return START_MINUTES + math.ceil(HEADROOM * runs * (resamples * RESAMPLE + TRACK) / 60)


def after_training(scale: Scale, at_once: int) -> int:
    """Minutes of the one job in which everything is done that follows training, at most.

    Args:
        scale: what is run.
        at_once: how many of its steps are done side by side.
    """
    studies = scale.parts.values()
    longest = max(analysis_minutes(len(study.all_runs()), study.statistics.resamples) for study in studies)
    tables = math.ceil(sum(len(study.parts()) for study in studies) / at_once)
    drawn = math.ceil((sum(map(len, scale.figures().values())) + 2 * len(studies)) / at_once)
    return (tables + drawn + 3) * longest


def planned() -> dict[str, Any]:
    """Predictions of `gipo plan --save FILE` by run id; empty where nothing was planned."""
    return _plan(PLAN, _changed(PLAN))


def _changed(path: Path) -> int:
    return path.stat().st_mtime_ns if path.exists() else 0


@cache
def _plan(path: Path, changed: int) -> dict[str, Any]:
    return read_plan(path) if changed else {}


def read_plan(path: Path) -> dict[str, Any]:
    """Predictions in a file of `gipo plan --save FILE`, by run id.

    Raises:
        GipoError: it is missing or damaged.
    """
    content = read_json(path)
    runs: Any = content.get("runs") if isinstance(content, dict) else None
    if not isinstance(runs, dict) or not all(_is_prediction(run) for run in runs.values()):
        raise GipoError(f"{path} is damaged: delete it, and `gipo plan --save {path}` writes another one")
    return runs


def _is_prediction(run: object) -> bool:
    numbers = [run.get(key) for key in PREDICTED] if isinstance(run, dict) else [None]
    return all(isinstance(number, int | float) and 0 <= number < 1e12 for number in numbers)
