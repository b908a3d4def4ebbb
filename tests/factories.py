"""Finished run and baseline directories with made-up, plausible, deterministic curves, in the format of real ones.

They stand in for training where a test is about what happens to its results. Nothing about learning can be concluded.
"""

import itertools
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from gipo.errors import GipoError
from gipo.files import write_json
from gipo.runs.baseline import Baseline
from gipo.runs.code import baseline_modules, code_digest, code_of
from gipo.runs.directory import RunDirectory
from gipo.runs.finished import FinishedRun
from gipo.runs.manifest import Attempt, RunManifest
from gipo.runs.spec import CHECKED, RunSpec
from gipo.tables import RUN_EVALUATION, RUN_IMAGINATION, RUN_METRICS, STATISTICS, write_table

LIFETIMES = {"fresh": 0.0855, "stale": 0.874, "refreshed": 0.874}
RANDOM_RETURN, EXPERT_RETURN = 50.0, 850.0
METHODS = ("no-clip", "ppo-clip", "sapo", "gipo-1-1")
LIBERO_METHODS = ("ppo-clip", "sapo", "gipo-0.5-0.5")
SUITES = ("libero_spatial", "libero_object", "libero_goal", "libero_10")
ACTORS = {"fresh": 10, "stale": 3}
PUBLISHED = {"repository": "somebody/a-model", "revision": "0123456789abcdef0123456789abcdef01234567"}


@dataclass(frozen=True)
class Study:
    """Directories that `write_study` wrote."""

    runs: list[Path]
    baselines: list[Path]


def make_spec(task: str, regime: str, method: str, seed: int, **sections: dict[str, Any]) -> RunSpec:
    """A small spec; `sections` replace single keys, e.g. ``learner={"updates": 100}``.

    A regime ``lag-<L>`` has that lifetime and the capacity with which all such regimes collect about as many steps, one
    ``<regime>-imagined-<k>`` a world model and k imagined transitions to each real one, with ``-success`` behind it
    that as reward. A method ``vtrace-<method>`` has that method's objective and V-trace targets, one ``<method>-half``
    half of its updates.
    """
    objective = method.removeprefix("vtrace-").removesuffix("-half")
    small = {
        "environment": {"bins": 32, "episode_steps": 200},
        "network": {"hidden": 128, "value_hidden": 64},
        "replay": _lifetime(regime) | {"segment_length": 64, "environments": 8, "warmup_steps": 512},
        "learner": {"updates": 5000, "batch_size": 256, "accumulation": 1, "warmup_updates": 50, "policy_start": 25}
        | ({"estimator": "vtrace", "refresh_every": 100} if method.startswith("vtrace-") else {})
        | ({"updates": 2500} if method.endswith("-half") else {}),
        "evaluation": {"every": 500, "episodes": 4},
        "diagnostics": {"every": 50, "old_gap": 0.1},
    }
    for name, section in sections.items():
        small[name] |= section
    _, separator, kind = regime.partition("-imagined-")
    if separator:
        ratio, _, reward = kind.partition("-")
        small["imagination"] = {"ratio": int(ratio), "branches": 3, "warmup_steps": 4096}
        small["imagination"] |= {"reward": reward} if reward else {}
    return RunSpec(task=task, regime=regime, method=method, seed=seed, objective=_objective(objective), **small)


def write_run(
    root: Path, task: str = "door-open-v3", regime: str = "stale", method: str = "gipo-1-1", seed: int = 0,
    *, final_score: float | None = None, interruptions: int = 0, **sections: dict[str, Any],
) -> Path:  # fmt: skip
    """Write a finished run below `root` (results/runs) and return its directory.

    Args:
        root: Where runs lie as ``<task>/<regime>/<method>/seed<n>-<hash8>``.
        final_score: Normalised score that the learning curve approaches; None: drawn from the identity of the run.
        sections: Changes of the spec, as in `make_spec`.
    """
    spec = make_spec(task, regime, method, seed, **sections)
    directory = root / spec.run_id
    rng = np.random.default_rng(zlib.crc32(f"{task}/{regime}/{method}/{seed}".encode()))
    drawn = rng.uniform(0.3, 0.8)
    logged = metrics(spec, rng)
    write_results(
        directory, spec, logged, evaluation(spec, drawn if final_score is None else final_score, rng), interruptions
    )
    return directory


def write_results(
    directory: Path, spec: RunSpec, logged: pd.DataFrame, episodes: pd.DataFrame, interruptions: int = 0
) -> None:
    """Write a finished run, its manifest included."""
    run = RunDirectory(directory)
    run.write_spec(spec)
    write_table(run.metrics, logged, RUN_METRICS)
    write_table(run.evaluation, episodes, RUN_EVALUATION)
    if spec.imagination:
        write_table(run.imagination, imagination(spec), RUN_IMAGINATION)
    run.policy.write_bytes(spec.run_id.encode())
    write_json(run.provenance, provenance(spec, interruptions))
    write_manifest(directory, spec, ["made up"] * (interruptions + 1))


def write_manifest(directory: Path, spec: RunSpec, classes: Sequence[str] = ("made up",)) -> None:
    """Write the manifest of a run's files as they are, with an attempt for each numeric class named."""
    run = RunDirectory(directory)
    names = [path.name for path in (*run.results, *(path for path in run.of_some if path.exists()))]
    RunManifest(
        files=RunManifest.facts(directory, names),
        run_id=spec.run_id,
        spec_digest=spec.digest(),
        code_digest=_code(spec),
        attempts=[attempt(spec, number, name) for number, name in enumerate(classes)],
    ).write(run.manifest)


def attempt(spec: RunSpec, from_update: int = 0, numeric_class: str = "made up") -> Attempt:
    """An attempt at a run."""
    made = provenance(spec)
    return Attempt(
        started_at=made["finished_at"], from_update=from_update, numeric_class=numeric_class, device="cpu",
        host="host", cpu="CPU", cores=2, python="3.11.7", libraries={"numpy": "2.4.6", "torch": "2.13.0"},
        git_commit=made["git_commit"], git_dirty=made["git_dirty"],
    )  # fmt: skip


def rewrite_provenance(directory: Path, **changes: Any) -> None:
    """Change a run's provenance and make a manifest that agrees with it."""
    run = FinishedRun.read(directory)
    write_json(run.directory.provenance, run.provenance.model_dump(mode="json") | changes)
    write_manifest(directory, run.spec, run.manifest.numeric_classes)


def make_libero_spec(
    task: str, regime: str, method: str, seed: int, openvla: dict[str, Any] | None = None, states: bool = False
) -> RunSpec:
    """A small spec of a LIBERO run; by default of a published model."""
    return RunSpec(
        suite="libero", task=task, regime=regime, method=method, seed=seed, objective=_objective(method),
        openvla=None if states else openvla or PUBLISHED,
        states={} if states else None,
        replay={"capacity": 640, "environments": ACTORS[regime], "group_size": 1, "lifetime": None},
        learner={"updates": 3000, "batch_size": 12, "accumulation": 1, "warmup_updates": 50, "policy_start": 25},
        evaluation={"every": 300, "episodes": 20},
        diagnostics={"every": 50},
        asynchronous={},
    )  # fmt: skip


def write_libero_study(
    root: Path, tasks: Sequence[str] = SUITES, regimes: Sequence[str] = ("fresh", "stale"),
    methods: Sequence[str] = LIBERO_METHODS, seeds: int = 3, pace: dict[str, float] | None = None, **spec: Any,
) -> Study:  # fmt: skip
    """Write every LIBERO run of the grid below ``root/runs``; they need no baseline.

    Args:
        root: results.
        tasks: suites or tasks.
        regimes: keys of `ACTORS`.
        methods: labels.
        seeds: how many.
        pace: how fast the success rate of a method rises, 1 if it is not named.
        spec: see `make_libero_spec`.
    """
    runs = []
    for task, regime, method, seed in itertools.product(tasks, regimes, methods, range(seeds)):
        one = make_libero_spec(task, regime, method, seed, **spec)
        rng = np.random.default_rng(zlib.crc32(f"{task}/{regime}/{method}/{seed}".encode()))
        directory = root / "runs" / one.run_id
        write_results(directory, one, metrics(one, rng), successes(one, (pace or {}).get(method, 1.0)))
        runs.append(directory)
    return Study(runs, [])


def successes(spec: RunSpec, pace: float) -> pd.DataFrame:
    """evaluation.parquet of LIBERO: the share of successes rises from 0.2 to 0.95; a better seed is ahead a little."""
    updates, episodes = spec.learner.updates, spec.evaluation.episodes
    frames = []
    for update in range(0, updates + 1, spec.evaluation.every):
        share = 0.2 + 0.75 * min(1.0, pace * (1 + 0.05 * spec.seed) * update / updates)
        success = np.arange(episodes) < round(share * episodes)
        frame = _episodes(success.astype(float), success).assign(success_last=success)
        frames.append(frame.assign(update=update, env_steps=int(env_steps(spec, np.int64(update)))))
    return pd.concat(frames)


def write_baseline(
    root: Path, task: str, random_return: float = RANDOM_RETURN, expert_return: float = EXPERT_RETURN,
    episodes: int = 5, digest: str = "ba5e" * 16,
) -> Path:  # fmt: skip
    """Write the baseline of `task` below `root` (results/baselines) and return its directory.

    The mean returns of the two policies are exactly those given; `digest` is of its specification.
    """
    directory = root / f"{task}-{digest[:8]}"
    spread = np.linspace(-10, 10, episodes)
    frames = [
        _episodes(mean + spread, success).assign(task=task, policy=policy)
        for policy, mean, success in (("random", random_return, False), ("expert", expert_return, True))
    ]
    code = code_digest(*baseline_modules("metaworld"))
    Baseline.write(directory, pd.concat(frames), task=task, episodes=episodes, spec_digest=digest, code_digest=code)
    return directory


def write_study(
    root: Path, tasks: Sequence[str] = ("door-open-v3", "handle-press-v3"),
    regimes: Sequence[str] = ("fresh", "stale"), methods: Sequence[str] = METHODS, seeds: int = 3,
) -> Study:  # fmt: skip
    """Write every run of the grid below ``root/runs`` and every baseline below ``root/baselines``."""
    runs = [
        write_run(root / "runs", task, regime, method, seed)
        for task in tasks
        for regime in regimes
        for method in methods
        for seed in range(seeds)
    ]
    return Study(runs, [write_baseline(root / "baselines", task) for task in tasks])


def write_sweeps(root: Path) -> dict[str, Study]:
    """Write the runs of a small sweep of each kind, on one task with two seeds; what sweeps share is one run."""
    task, two = "handle-press-v3", range(2)

    def runs(regimes: Sequence[str], methods: Sequence[str]) -> list[Path]:
        return [write_run(root / "runs", task, r, m, seed) for r in regimes for m in methods for seed in two]

    rivals, gipo = runs(["stale"], ["no-clip", "ppo-clip"]), runs(["stale"], ["gipo-0.5-0.5", "gipo-1-1"])
    lag = runs(["lag-0.02", "lag-0.2", "lag-0.874"], ["ppo-clip", "gipo-1-1"])
    sweeps = {
        "lag": lag,
        "arena": lag,
        "knobs": rivals + gipo,
        "pace": lag + runs(["lag-0.2", "lag-0.874"], ["gipo-1-1-half"]),
        "sigma": gipo + runs(["stale"], ["gipo-1-0.5"]) + runs(["fresh"], ["gipo-0.5-0.5", "gipo-1-1", "gipo-1-0.5"]),
        "ranking": rivals + gipo,
        "vtrace": runs(["stale"], ["vtrace-no-clip", "vtrace-gipo-1-1"])
        + [run for run in rivals + gipo if run.parent.name in ("no-clip", "gipo-1-1")],
    }
    baselines = [write_baseline(root / "baselines", task)]
    return {name: Study(paths, baselines) for name, paths in sweeps.items()}


def metrics(spec: RunSpec, rng: np.random.Generator) -> pd.DataFrame:
    """metrics.parquet: gaps as the uniform law on [0, L] has them, the rest smooth curves with a little noise."""
    every, updates = spec.diagnostics.every, spec.learner.updates
    update = np.arange(every, updates + 1, every)
    oldest = np.minimum(update, spec.lifetime_updates)
    old = np.clip(1 - spec.old_gap_updates / oldest, 0, None)
    noise = rng.normal(0, 0.01, (len(update), len(STATISTICS)))
    frame = pd.DataFrame(0.5 * np.exp(-2 * update / updates)[:, None] + np.abs(noise), columns=list(STATISTICS))
    d95 = 0.1 + old * (1 + noise[:, 0])
    nan_if_new = np.where(old > 0, 1.0, np.nan)
    return frame.assign(
        **{"update": update, "env_steps": env_steps(spec, update), "old_frac": old, "d95": d95},
        **{"train_return": RANDOM_RETURN + (EXPERT_RETURN - RANDOM_RETURN) * update / updates, "train_success": 0.5},
        **{f"gap_{name}": oldest * q for name, q in (("mean", 0.5), ("q05", 0.05), ("q50", 0.5), ("q95", 0.95))},
        **{"rho_q05": np.exp(-d95), "rho_q50": 1.0, "rho_q95": np.exp(d95)},
        near_zero_old=frame["near_zero_old"] * nan_if_new,
        old_share=0.7 * old * nan_if_new,
        ess_eff_old=0.8 * nan_if_new,
    )


def evaluation(spec: RunSpec, final_score: float, rng: np.random.Generator) -> pd.DataFrame:
    """evaluation.parquet: a saturating curve of the score from 0 (random) to `final_score`."""
    updates, episodes = spec.learner.updates, spec.evaluation.episodes
    points = sorted({*range(0, updates, spec.evaluation.every), updates})
    frames = []
    for update in points:
        score = final_score * (1 - np.exp(-4 * update / updates)) + rng.normal(0, 0.03, episodes)
        returns = RANDOM_RETURN + score * (EXPERT_RETURN - RANDOM_RETURN)
        frame = _episodes(returns, score > 0.5)
        frames.append(frame.assign(update=update, env_steps=int(env_steps(spec, np.int64(update)))))
    return pd.concat(frames)


def imagination(spec: RunSpec) -> pd.DataFrame:
    """imagination.parquet: an error of a tenth of the step; every reward and every second success is foretold."""
    assert spec.imagination
    updates = spec.learner.due(spec.evaluation.every)
    steps = range(1, CHECKED + 1)
    rows = itertools.product(updates, range(spec.imagination.branches), steps)
    frame = pd.DataFrame(rows, columns=["update", "branch", "horizon"])
    return frame.assign(
        env_steps=env_steps(spec, frame["update"].to_numpy()),
        **{"fits": 1, "fit_steps": 100, "held_out": 0.1, "kept": 4.0, "start": 0, "disagreement": 0.1},
        **{"error": 0.1 * frame["horizon"], "still": 0.3 * frame["horizon"]},
        **{"reward_imagined": 1.0 * frame["horizon"], "reward_real": 1.0 * frame["horizon"]},
        success_imagined=np.where(frame["horizon"] > CHECKED / 2, 0.75, 0.25),
        success_real=(frame["horizon"] > CHECKED / 2) & (frame["horizon"] % 2 == 0),
    )


def provenance(spec: RunSpec, interruptions: int = 0) -> dict[str, Any]:
    """provenance.json of a run that took 100 s; the time stamp follows the seed."""
    steps = int(env_steps(spec, np.int64(spec.learner.updates)))
    return {
        "finished_at": f"2026-11-21T10:{spec.seed:02d}:00+00:00",
        **{"git_commit": "0123456789abcdef0123456789abcdef01234567", "git_dirty": False},
        **{"code_digest": _code(spec), "lock_digest": "10c4" * 16},
        **{"wall_seconds": 100.0, "env_steps": steps, "updates": spec.learner.updates},
        **{"env_steps_per_second": steps / 100, "updates_per_second": spec.learner.updates / 100},
        "interruptions": interruptions,
    }


def _code(spec: RunSpec) -> str:
    """Digest of today's code; a made-up one for a method that no module has."""
    try:
        return code_of(spec)
    except GipoError:
        return "c0de" * 16


def env_steps(spec: RunSpec, update: np.ndarray | np.int64) -> np.ndarray | np.int64:
    """Env steps collected by `update`: the warm-up, then capacity / L for every update, or as many as actors."""
    if spec.replay.lifetime is None:
        return np.asarray(update * spec.replay.environments).astype(np.int64)
    steps = spec.replay.warmup_steps + update * spec.replay.capacity / spec.lifetime_updates
    return np.asarray(steps).astype(np.int64)


def _episodes(returns: np.ndarray, success: np.ndarray | bool) -> pd.DataFrame:
    """`success_last` is a little rarer than `success_any`, as with real tasks."""
    episode = np.arange(len(returns))
    frame = pd.DataFrame({"episode": episode, "return": returns, "success_any": success})
    return frame.assign(success_last=frame["success_any"] & (episode % 4 != 3))


def _lifetime(regime: str) -> dict[str, Any]:
    if not regime.startswith("lag-"):
        return {"capacity": 20_480, "lifetime": LIFETIMES[regime.partition("-imagined-")[0]]}
    lifetime = float(regime.removeprefix("lag-"))
    return {"capacity": 64 * round(3700 * lifetime), "lifetime": lifetime}


def _objective(method: str) -> dict[str, Any]:
    name, *sigmas = method.split("-")
    if name == "gipo":
        return {"name": "gipo", "parameters": dict(zip(("sigma_pos", "sigma_neg"), map(float, sigmas), strict=True))}
    return {"name": method.replace("-", "_"), "parameters": {}}
