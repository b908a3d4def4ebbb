"""Whether runs of scale `released` learn as the authors' script does: training returns in blocks, side by side.

    python benchmarks/released_learning.py SCRIPT FOLDER [out.csv]

SCRIPT is metaworld_ppo_discrete_simple_complete.py of https://github.com/distanceLu/GIPO at 5aae0ad. Both sides train
on button-press-topdown-v3 for 400 iterations, GIPO (1, 0.5) and PPO-Clip with five seeds each, in float32 on the CPU,
each run in a process of one thread, as many at once as there are cores; that is 5 hours of a core; ``--methods`` and
``--seeds`` name some of them. The episodes of a finished run stay in FOLDER, where another call goes on. The table has
the mean return of forty episodes each, averaged over seeds, and the difference ours - theirs with the 95 % interval of
Welch's t; the last row of a method is of all episodes. Of twenty such intervals one is expected to miss 0 where nothing
differs.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import runpy
import subprocess
import sys
import tempfile
import types
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pandas as pd
from scipy import stats

from machine import describe

SCALE = Path(__file__).parents[1] / "workflow" / "config" / "released.yaml"
SHA256 = "dc55e105d0a90e29c519da5c52ab39ed2dbbc91aae7e055f7dfe72909a45dc3b"
TASK, ITERATIONS, BLOCK = "button-press-topdown-v3", 400, 40
SEEDS = (22, 64, 99, 234, 360)
METHODS = {"gipo-1-0.5": "gipo", "ppo-clip": "ppo"}
"""Label in the scale: name in the script, whose sigma is 1 and 0.5 by default."""


def train_ours(method: str, seed: int) -> list[float]:
    """Returns of the training episodes of one of our runs."""
    from gipo.engines import lockstep
    from gipo.engines.record import Record
    from gipo.runs.spec import RunSpec
    from gipo.study import Study

    run = Study.load(SCALE).run(TASK, "stale", method, seed)
    updates = int(run.updates_per_round) * (ITERATIONS - 1)
    changes = {
        "learner": run.learner.model_dump() | {"updates": updates},
        "replay": run.replay.model_dump() | {"lifetime": run.lifetime_updates / updates},
        "evaluation": run.evaluation.model_dump() | {"every": updates, "episodes": 1},
    }
    returns: list[float] = []
    with (
        tempfile.TemporaryDirectory() as directory,
        patch.object(Record, "ended", lambda self, episodes: returns.extend(total for total, _ in episodes)),
    ):
        lockstep.train(RunSpec.model_validate(run.model_dump() | changes), Path(directory), tell=lambda line: None)
    return returns


def train_theirs(script: Path, method: str, seed: int) -> list[float]:
    """The same of one run of the script, from what it logs for TensorBoard."""
    returns: list[float] = []

    class SummaryWriter:
        def __init__(self, *_: object) -> None: ...

        def add_scalar(self, name: str, value: float, step: int) -> None:
            if name == "Rollout/ReturnMean":
                returns.append(value)

        def close(self) -> None: ...

    module = types.ModuleType("torch.utils.tensorboard")
    module.SummaryWriter = SummaryWriter  # type: ignore[attr-defined]
    sys.modules[module.__name__] = module
    with tempfile.TemporaryDirectory() as directory:
        settings = {
            "task-name": TASK, "clip-mode": METHODS[method], "seed": seed, "train-iters": ITERATIONS, "device": "cpu",
            "cuda-visible-devices": "", "moving-avg-window": 1, "eval-every-iters": 0, "log-dir": directory,
        }  # fmt: skip
        sys.argv = [str(script), "--no-bf16", *(f"--{name}={value}" for name, value in settings.items())]
        runpy.run_path(str(script), run_name="__main__")
    return returns


def train(whose: str, method: str, seed: int, script: Path, out: Path) -> None:
    """One run, in this process."""
    import torch

    torch.set_num_threads(1)
    returns = train_ours(method, seed) if whose == "ours" else train_theirs(script, method, seed)
    if len(returns) != ITERATIONS:
        sys.exit(f"{whose} {method} {seed}: {len(returns)} episodes, expected {ITERATIONS}")
    unfinished = out.with_suffix(".part")
    unfinished.write_text(json.dumps(returns))
    unfinished.rename(out)


def start(whose: str, method: str, seed: int, script: Path, folder: Path) -> Path:
    """One run in a process of its own, unless it is finished."""
    out = folder / f"{whose}-{method}-{seed}.json"
    if not out.exists():
        environment = os.environ | {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
        command = [sys.executable, __file__, str(script), str(folder), "--run", whose, method, str(seed)]
        subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, check=True)
        print(out.stem, "done", flush=True)
    return out


def compare(method: str, ours: np.ndarray, theirs: np.ndarray) -> list[dict[str, object]]:
    """A row for each block, and one for all episodes; arguments are returns, [seeds, episodes]."""
    rows: list[dict[str, object]] = []
    blocks = [(first, first + BLOCK) for first in range(0, ITERATIONS, BLOCK)]
    for first, end in [*blocks, (0, ITERATIONS)]:
        one, other = ours[:, first:end].mean(axis=1), theirs[:, first:end].mean(axis=1)
        interval = stats.ttest_ind(one, other, equal_var=False).confidence_interval(0.95)
        means = {"ours": one.mean(), "theirs": other.mean(), "difference": one.mean() - other.mean()}
        spread = {
            "low": interval.low,
            "high": interval.high,
            "sd_ours": one.std(ddof=1),
            "sd_theirs": other.std(ddof=1),
        }
        rows.append({"method": method, "episodes": f"{first + 1}-{end}", **means, **spread, "seeds": len(one)})
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("script", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("out", type=Path, nargs="?")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=[*METHODS])
    parser.add_argument("--seeds", nargs="+", type=int, choices=SEEDS, default=[*SEEDS])
    parser.add_argument("--run", nargs=3, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if hashlib.sha256(chosen.script.read_bytes()).hexdigest() != SHA256:
        sys.exit(f"{chosen.script} is not the script of 5aae0ad: its SHA-256 is not {SHA256}")
    chosen.folder.mkdir(parents=True, exist_ok=True)
    if chosen.run:
        whose, method, seed = chosen.run
        train(whose, method, int(seed), chosen.script, chosen.folder / f"{whose}-{method}-{seed}.json")
        return
    runs = [(whose, method, seed) for method in chosen.methods for seed in chosen.seeds for whose in ("theirs", "ours")]
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        files = list(pool.map(lambda run: start(*run, chosen.script, chosen.folder), runs))
    returns = {run: json.loads(file.read_text()) for run, file in zip(runs, files, strict=True)}
    rows = []
    for method in chosen.methods:
        groups = ([returns[whose, method, seed] for seed in chosen.seeds] for whose in ("ours", "theirs"))
        rows += compare(method, *map(np.array, groups))
    table = pd.DataFrame(rows)
    print(table.round(1).to_string(index=False))
    if chosen.out:
        table.assign(**describe()).to_csv(chosen.out, index=False, float_format="%.6g")


if __name__ == "__main__":
    main()
