"""The full run, which takes about an hour, or some inputs again.

cd tests && python -m fuzz --save ../benchmarks/results/fuzz.csv
cd tests && python -m fuzz scale --first 17 --count 1
"""

import argparse
import csv
import resource
import sys
from pathlib import Path

from fuzz.campaign import campaign
from fuzz.kinds import KINDS, forget

TOTAL = 20_000
SLOW = {"weights": 500, "model config": 500, "projector": 500}
"""Inputs of kinds that build a network each time; the others share the rest."""
MEMORY = 16 << 30
"""Bytes of address space: what asks for more fails here, and not the machine."""


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kinds", nargs="*", help="of these kinds, not all")
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--count", type=int, help="inputs of each kind")
    parser.add_argument("--save", type=Path, help="table of the results, CSV")
    options = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    kinds = [name.replace("_", " ") for name in options.kinds] or list(KINDS)
    each = -(-(TOTAL - sum(SLOW.values())) // (len(KINDS) - len(SLOW)))
    rows, failed = [], 0
    for kind in kinds:
        result = campaign(kind, options.count or SLOW.get(kind, each), options.first)
        failed += len(result.failures)
        rows.append(
            [kind, result.inputs, result.accepted, result.refused, len(result.failures), f"{result.longest:.2f}"]
        )
        print(*rows[-1], sep=", ", flush=True)
        for failure in result.failures[:5]:
            print(failure, file=sys.stderr)
    forget()
    if options.save:
        with options.save.open("w", newline="", encoding="utf-8") as file:
            header = ["kind", "inputs", "accepted", "refused", "traceback", "longest_seconds"]
            csv.writer(file, lineterminator="\n").writerows([header, *rows])
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
