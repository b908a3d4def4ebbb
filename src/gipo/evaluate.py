"""`gipo evaluate`: more episodes of a trained policy than its run played, and intervals of its success rate."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Literal

import pandas as pd
import torch
from pydantic import ValidationError
from scipy.stats import binomtest

from gipo.config import explain
from gipo.engines.suites import make_suite
from gipo.errors import GipoError, lacks_memory, shortened
from gipo.files import atomic_path, read_json, write_json
from gipo.runs.finished import FinishedRun
from gipo.runs.provenance import machine
from gipo.runs.spec import RunSpec

Action = Literal["most-probable", "sampled"]
Rows = list[dict[str, Any]]
SUCCESSES = {"success_any": "at any step", "success_last": "at the last step"}


def evaluate(
    path: Path,
    out: Path,
    episodes: int,
    action: Action,
    workers: int,
    device: str,
    pretrained: Path,
    tell: Callable[[str], None],
) -> dict[str, Any]:
    """Play a finished run's policy on evaluation episodes 0, 1, ..., of which its run played the first ones.

    What was played before an interruption is in the CSV and is not played again. An episode whose simulator breaks off
    with an error has failed: it has no result, and the error stands in the CSV.

    Args:
        path: directory of the run.
        out: JSON file for the results; a CSV with a row for each episode stands beside it.
        episodes: how many.
        action: which tokens are played.
        workers: processes; 0: this one.
        device: where the model lives.
        pretrained: where pretrained models lie.
        tell: takes a line when something was there already.

    Returns:
        ``counts`` of episodes, see `counts`, and ``results``, see `summary`. While it goes on, the JSON has both of the
        episodes so far.

    Raises:
        GipoError: the run is unfinished or damaged, cannot be evaluated so, `out` holds another evaluation, or every
            episode so far has failed.
    """
    run = FinishedRun.anywhere(path)
    weights = run.read_bytes(run.directory.policy.name)
    about = {
        "run": run.spec.run_id,
        "policy_sha256": hashlib.sha256(weights).hexdigest(),
        "episodes": episodes,
        "action": action,
    }
    spec = _spec(run.spec, episodes, action)
    rows = _begun(out, about)
    if rows:
        tell(f"{len(rows)} of {episodes} episodes are in {out.with_suffix('.csv')} already")
    head = {"about": about, "machine": machine()}
    write_json(out, head)
    played = {row["episode"] for row in rows}
    groups = [group for group in spec.evaluation_groups if not played.issuperset(group)]
    for more in _play(groups, workers, (spec.model_dump_json(), weights, device, str(pretrained))):
        rows += more
        table = _table(rows)
        with atomic_path(out.with_suffix(".csv")) as csv:
            table.to_csv(csv, index=False)
        write_json(out, head | _found(table, spec))
        if _failed(table).all():
            raise GipoError(f"no episode of {path} could be played: {table['error'].iloc[0]}")
    found = _found(_table(rows), spec)
    write_json(out, head | found)
    return found


def _found(table: pd.DataFrame, spec: RunSpec) -> dict[str, Any]:
    return {"counts": counts(table, spec.evaluation.episodes), "results": summary(table, spec.task)}


def _table(rows: Rows) -> pd.DataFrame:
    return pd.DataFrame(rows).sort_values("episode")


def _failed(table: pd.DataFrame) -> pd.Series:
    return table["error"].notna() if "error" in table else pd.Series(False, table.index)


def counts(table: pd.DataFrame, asked: int) -> dict[str, int]:
    """Episodes that were asked for: those played to their end, failed, and skipped, as it was stopped before them."""
    failed = int(_failed(table).sum())
    return {"asked": asked, "played": len(table) - failed, "failed": failed, "skipped": asked - len(table)}


def summary(table: pd.DataFrame, whole: str) -> list[dict[str, Any]]:
    """Results of each task and, where there are several, of their suite.

    Args:
        table: a row for each episode.
        whole: name of the suite.

    Returns:
        Each with its ``task``, how many ``episodes`` were played to their end and how many ``failed``, and of those
        that were played the mean return and, for each definition of success, the share with its Wilson 95 % interval,
        or None where none was.
    """
    parts = list(table.groupby("task", sort=False))
    if len(parts) > 1:
        parts.append((whole, table))
    return [_result(str(task), part[~_failed(part)], int(_failed(part).sum())) for task, part in parts]


def _result(task: str, played: pd.DataFrame, failed: int) -> dict[str, Any]:
    found: dict[str, Any] = dict.fromkeys(("return", *SUCCESSES))
    if len(played):
        found = {"return": float(played["return"].mean())}
        found |= {name: _share(played[name].astype(bool)) for name in SUCCESSES}
    return {"task": task, "episodes": len(played), "failed": failed, **found}


def lines(found: dict[str, Any]) -> Iterator[str]:
    """All that was found in words."""
    yield from map(line, found["results"])
    yield "{asked} episodes were asked for: {played} played, {failed} failed, {skipped} skipped".format(
        **found["counts"]
    )


def line(result: dict[str, Any]) -> str:
    """A result in words."""
    if not result["episodes"]:
        return f"{result['task']}: no episode was played, {result['failed']} failed"
    shares = (
        f"success {words} {result[name]['share']:.3f} [{result[name]['low']:.3f}, {result[name]['high']:.3f}]"
        for name, words in SUCCESSES.items()
    )
    return f"{result['task']}: {result['episodes']} episodes, return {result['return']:,.1f}, {', '.join(shares)}"


def _share(succeeded: pd.Series) -> dict[str, float]:
    interval = binomtest(int(succeeded.sum()), len(succeeded)).proportion_ci(0.95, "wilson")
    return {"share": float(succeeded.mean()), "low": float(interval.low), "high": float(interval.high)}


def _spec(spec: RunSpec, episodes: int, action: Action) -> RunSpec:
    content = spec.model_dump()
    content["evaluation"] |= {"episodes": episodes, "action": action}
    try:
        return RunSpec.model_validate(content)
    except ValidationError as error:
        raise GipoError(f"{spec.run_id} cannot be evaluated so: {explain(error)}") from error


def _begun(out: Path, about: dict[str, Any]) -> Rows:
    """Episodes that an earlier call has played."""
    if not out.exists():
        return []
    if (before := read_json(out).get("about")) != about:
        raise GipoError(f"{out} holds another evaluation, {before}: name another file")
    csv = out.with_suffix(".csv")
    table = pd.read_csv(csv, float_precision="round_trip") if csv.exists() else pd.DataFrame()
    return [{str(name): value for name, value in row.items()} for row in table.to_dict("records")]


class Player:
    """A policy and the simulators that it is played in.

    Args:
        spec: the run, JSON, with the evaluation that is asked for.
        weights: content of its policy.pt.
        device: where the model lives.
        pretrained: where pretrained models lie.
    """

    def __init__(self, spec: str, weights: bytes, device: str, pretrained: str) -> None:
        torch.set_num_threads(1)
        self.run = run = RunSpec.model_validate_json(spec)
        self.pretrained = Path(pretrained)
        self.suite = make_suite(run, self.pretrained)
        self.actor = self.suite.make_actor(torch.device(device))
        self.actor.load(torch.load(io.BytesIO(weights), map_location="cpu", weights_only=True))
        self.update = run.learner.updates

    def play(self, episodes: range) -> Rows:
        """A row for each episode: how it began, and what came of it; where several broke off, each is played alone."""
        try:
            rows = self.suite.evaluate(self.actor, self.update, episodes)
        except Exception as error:  # of many kinds, whatever a simulator raises
            if isinstance(error, GipoError) or lacks_memory(error):
                raise
            self.suite = make_suite(self.run, self.pretrained)  # simulators that broke off are in no known state
            if len(episodes) > 1:
                return [row for episode in episodes for row in self.play(range(episode, episode + 1))]
            rows = [{"episode": episodes.start, "error": shortened(f"{type(error).__name__}: {error}")}]
        return [self.suite.start_of(row["episode"]) | row for row in rows]


_player: list[Player] = []
"""Of a worker process, one."""


def _begin(*arguments: Any) -> None:
    _player.append(Player(*arguments))


def _work(episodes: range) -> Rows:
    return _player[0].play(episodes)


def _play(groups: list[range], workers: int, arguments: tuple[Any, ...]) -> Iterator[Rows]:
    """Rows of each group of episodes, as soon as they are there."""
    if not groups:
        return
    if not workers:
        player = Player(*arguments)
        yield from map(player.play, groups)
        return
    with ProcessPoolExecutor(workers, get_context("spawn"), _begin, arguments) as pool:
        waiting: list[Future[Rows]] = [pool.submit(_work, group) for group in groups]
        yield from (future.result() for future in as_completed(waiting))
