"""Results that today's code made, as opposed to those of an older or a newer one."""

from collections.abc import Iterable
from pathlib import Path

from gipo.runs.baseline import Baseline
from gipo.runs.code import baseline_modules, code_digest, code_of
from gipo.runs.finished import FinishedRun


def check_code(run_dirs: Iterable[Path], baseline_dirs: Iterable[Path], suite: str) -> None:
    """Check that today's code made these runs, and these baselines of a suite.

    Raises:
        GipoError: one is missing, unfinished or damaged, or the work of other code.
    """
    for path in run_dirs:
        run = FinishedRun.read(path)
        run.check_code(code_of(run.spec))
    paths = list(baseline_dirs)
    if paths:
        today = code_digest(*baseline_modules(suite))
        for path in paths:
            Baseline.read(path).check_code(today)
