"""All checks, each in a process of its own: a driver that crashes or hangs costs one line, not the others."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd

from gipo.errors import GipoError
from gipo.files import atomic_path, read_json, write_json
from gipo.gpu.findings import Finding, failed
from gipo.runs.code import code_digest
from gipo.runs.provenance import machine, origin

CHECKS = ("driver", "frames", "images", "updates", "training", "openvla", "collectives")
"""Modules of this package."""
PATIENCE = 240.0
"""Seconds that a check may take."""


def examine(out: Path, tell: Callable[[str], None]) -> None:
    """Run every check, and write what was found.

    Args:
        out: a JSON file, with the machine; the table stands beside it, as CSV.
        tell: takes one line per finding.

    Raises:
        GipoError: a check failed.
    """
    found: dict[str, list[Finding]] = {}
    for name in CHECKS:
        tell(f"{name} ...")
        found[name] = _run(name, out.with_name(f"{out.stem}-{name}.log"))
        for finding in found[name]:
            tell(str(finding))
    _write(out, found)
    every = [finding for findings in found.values() for finding in findings]
    tell(f"written: {out} and {out.with_suffix('.csv').name}")
    if wrong := sum(finding.outcome == "failed" for finding in every):
        raise GipoError(f"{wrong} of {len(every)} checks failed")


def _run(name: str, log: Path) -> list[Finding]:
    """Findings of one check; what its process printed is kept in ``log`` where one failed."""
    log.parent.mkdir(parents=True, exist_ok=True)
    wrong = ""
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory, "findings.json")
        command = [sys.executable, "-m", "gipo.gpu", name, str(file)]
        with log.open("w", encoding="utf-8") as lines:
            try:
                code = subprocess.run(command, stdout=lines, stderr=lines, timeout=PATIENCE).returncode
                wrong = f"its process ended with code {code}" if code else ""
            except subprocess.TimeoutExpired:
                wrong = f"it is not done after {PATIENCE:g} s"
        findings = [Finding.model_validate(row) for row in read_json(file)] if file.exists() else []
    if wrong:
        findings.append(failed(f"{name}: {wrong}"))
    if all(finding.outcome != "failed" for finding in findings):
        log.unlink()
    return findings


def _write(out: Path, found: dict[str, list[Finding]]) -> None:
    rows: list[dict[str, Any]] = [
        {"check": name} | finding.model_dump() for name, findings in found.items() for finding in findings
    ]
    code = origin(code_digest("gipo"))
    about = machine() | {"git_commit": code.git_commit, "git_dirty": code.git_dirty}
    write_json(out, {"machine": about, "findings": rows})
    with atomic_path(out.with_suffix(".csv")) as path:
        pd.DataFrame(rows).to_csv(path, index=False, float_format="%.4g")
