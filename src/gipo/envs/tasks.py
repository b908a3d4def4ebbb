"""Names of the tasks, known without a simulator so that a config is checked at once."""

import difflib

from gipo.envs.libero_tasks import HORIZONS, LIBERO_TASKS
from gipo.errors import GipoError

# fmt: off
METAWORLD_TASKS = (
    "assembly-v3", "basketball-v3", "bin-picking-v3", "box-close-v3", "button-press-topdown-v3",
    "button-press-topdown-wall-v3", "button-press-v3", "button-press-wall-v3", "coffee-button-v3", "coffee-pull-v3",
    "coffee-push-v3", "dial-turn-v3", "disassemble-v3", "door-close-v3", "door-lock-v3", "door-open-v3",
    "door-unlock-v3", "drawer-close-v3", "drawer-open-v3", "faucet-close-v3", "faucet-open-v3", "hammer-v3",
    "hand-insert-v3", "handle-press-side-v3", "handle-press-v3", "handle-pull-side-v3", "handle-pull-v3",
    "lever-pull-v3", "peg-insert-side-v3", "peg-unplug-side-v3", "pick-out-of-hole-v3", "pick-place-v3",
    "pick-place-wall-v3", "plate-slide-back-side-v3", "plate-slide-back-v3", "plate-slide-side-v3",
    "plate-slide-v3", "push-back-v3", "push-v3", "push-wall-v3", "reach-v3", "reach-wall-v3", "shelf-place-v3",
    "soccer-v3", "stick-pull-v3", "stick-push-v3", "sweep-into-v3", "sweep-v3", "window-close-v3", "window-open-v3",
)
# fmt: on
"""All tasks of MetaWorld 3."""


def check_task(task: str, suite: str = "metaworld") -> None:
    """Raise a `GipoError` with the closest name unless ``task`` is one of the suite's; for LIBERO, or a whole suite."""
    names = METAWORLD_TASKS if suite == "metaworld" else (*HORIZONS, *LIBERO_TASKS)
    if task not in names:
        close = difflib.get_close_matches(task, names, n=1)
        raise GipoError(f"unknown task {task!r}" + (f"; did you mean {close[0]!r}?" if close else ""))
