"""Checks of the place where a command is called, before anything is computed.

Nothing heavy is imported, so that the checks take no time.
"""

from __future__ import annotations

import atexit
import json
import os
import platform
import shutil
import signal
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

from gipo import processes
from gipo.errors import GipoError
from gipo.runs.lock import Holder

PACKAGE = Path(__file__).resolve().parent

NOT_FOR_IMAGES = ",:'\"\\$`"
"""Characters of a path that Apptainer takes for its own: between binds, between source and target, or as quotes."""
NOT_FOR_SLURM = '"\\$`%'
"""Characters of a path that a shell or sbatch replaces on the way of a command into a job."""


def check_package(place: Path) -> None:
    """Refuse a package that is not the one of the checkout in which it is called.

    A checkout that was copied with its environment would run the code of the original. Images hold a package of their
    own, which is their point.

    Args:
        place: the working directory, or a folder of the checkout; where it is in none, any package will do.

    Raises:
        GipoError: `place` is in a checkout, and this package is not from it.
    """
    checkout = next((folder for folder in (place, *place.parents) if _is_checkout(folder)), None)
    if checkout is None or PACKAGE.samefile(checkout / "src" / "gipo") or "APPTAINER_CONTAINER" in os.environ:
        return
    raise GipoError(
        f"this checkout is {checkout}, but gipo is that of {PACKAGE.parents[1]}: "
        "`make setup` makes an environment here, and `. .venv/bin/activate` enters it"
    )


def _is_checkout(folder: Path) -> bool:
    return (folder / "Snakefile").is_file() and (folder / "src" / "gipo").is_dir()


def check_path(path: Path, forbidden: str, user: str) -> None:
    """Refuse a path that jobs could not be given.

    Args:
        path: of the checkout or the working directory.
        forbidden: characters, `NOT_FOR_IMAGES` or `NOT_FOR_SLURM`.
        user: the program that cannot be given them.

    Raises:
        GipoError: the path has one of them.
    """
    if found := sorted(set(str(path)) & set(forbidden)):
        raise GipoError(f"{user} cannot work in {path}, because of {' '.join(found)} in its name: rename the folder")


def end_with_the_terminal() -> None:
    """Let SIGHUP, the signal of a lost terminal, end Snakemake and its jobs as Ctrl-C does; `nohup` stays as it is."""
    if signal.getsignal(signal.SIGHUP) is signal.SIG_DFL:
        signal.signal(signal.SIGHUP, _interrupt_all)


def _interrupt_all(number: int, frame: object) -> None:
    import psutil  # Snakemake's

    for job in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            job.send_signal(signal.SIGINT)
    raise KeyboardInterrupt


def take_turn(state: Path, tell: Callable[[str], None]) -> bool:
    """Note that this Snakemake works in a directory, and remove the locks of those that were killed in it.

    Every Snakemake has a file with who it is, from before it locks anything until it ends. Where locks are left and all
    who could have made them are gone, nobody needs them. Gone is a process of this machine that does not exist, or that
    wrote its file before the machine was started anew. One of another machine cannot be seen: then the locks stay, and
    `tell` says how to remove them.

    Args:
        state: Snakemake's own folder, ``.snakemake`` in the working directory.
        tell: takes a line where locks are left.

    Returns:
        Whether no other Snakemake works here, as far as can be seen.
    """
    folder = state.resolve() / "processes"  # Snakemake goes elsewhere before it ends
    folder.mkdir(parents=True, exist_ok=True)
    this = Holder.this()
    own = folder / f"{this.token}.json"
    own.write_text(json.dumps(asdict(this)), encoding="utf-8")
    atexit.register(own.unlink, missing_ok=True)
    others = {path: holder for path in folder.glob("*.json") if path != own and (holder := _holder(path))}
    there = [holder for path, holder in others.items() if not _is_gone(path, holder)]
    for path in [path for path, holder in others.items() if holder not in there]:
        path.unlink(missing_ok=True)
    left = list((state / "locks").glob("*.lock"))
    if not left:
        return not any(holder.alive() for holder in there)
    if others and not there:
        shutil.rmtree(state / "locks", ignore_errors=True)
        tell(f"removed the lock of {next(iter(others.values()))}, which was killed while it worked here")
        return True
    if seen := [holder for holder in there if holder.alive() and holder.pid != os.getppid()]:  # which builds images
        tell(f"{seen[0]} works in this directory as well")
    else:
        who = there[0] if there else "an unknown process"
        tell(f"{who} locked this directory and cannot be seen from here: if it is gone, `make unlock`")
    return False


def _is_gone(path: Path, holder: Holder) -> bool:
    """Whether the process that wrote a file with who it is is gone, as far as this machine can tell."""
    alive, booted = holder.alive(), processes.booted()
    if alive is not None or booted is None or holder.host != platform.node():
        return alive is False
    with suppress(FileNotFoundError):
        return path.stat().st_mtime < booted
    return True


def _holder(path: Path) -> Holder | None:
    try:
        return Holder.parse(path.read_bytes())
    except FileNotFoundError:  # it has just ended
        return None
