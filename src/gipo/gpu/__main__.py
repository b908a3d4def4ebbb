"""One check in a process of its own: ``python -m gipo.gpu CHECK FILE`` writes its findings as they come."""

import importlib
import sys
import traceback
from pathlib import Path

from gipo.errors import GipoError
from gipo.files import write_json
from gipo.gpu.findings import Finding, failed


def main(name: str, out: Path) -> None:
    """Write the findings of a check, with the error that ended it if one did."""
    findings: list[Finding] = []
    try:
        for finding in importlib.import_module(f"gipo.gpu.{name}").check():
            findings.append(finding)
            write_json(out, [each.model_dump() for each in findings])
    except GipoError as error:
        findings.append(failed(f"{name}: {error}"))
    except Exception as error:
        traceback.print_exc()
        lines = str(error).splitlines() or [""]
        findings.append(failed(f"{name}: {type(error).__name__}: {lines[0]}"))
    write_json(out, [each.model_dump() for each in findings])


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
