"""Break a small study in a thousand ways: `python -m tests.faults --faults 1000 --seed 1`."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

from campaign import bad, conduct, origin, page, plan, table, write_rows  # noqa: E402
from workshop import Workshop  # noqa: E402


def main() -> None:
    """Conduct a campaign, and write its table."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--faults", type=int, default=1000, help="how many")
    parser.add_argument("--seed", type=int, default=1, help="of what is chosen at random")
    parser.add_argument("--only", help="one fault, as kind:seed, or all of the kinds whose names begin so")
    parser.add_argument("--jobs", type=int, default=2, help="processes")
    parser.add_argument("--folder", type=Path, help="where the study is made and broken; it is kept for another call")
    parser.add_argument("--out", type=Path, help="page with the table; a CSV with a row for each fault comes beside it")
    chosen = parser.parse_args()
    print(f"seed {chosen.seed}", flush=True)
    cases = plan(chosen.faults, chosen.seed)
    if chosen.only:
        name, _, seed = chosen.only.rpartition(":")
        cases = [(name, int(seed))] if seed.isdigit() else [case for case in cases if case[0].startswith(chosen.only)]
    with tempfile.TemporaryDirectory(prefix="gipo-faults-") as temporary:
        folder = chosen.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        log = folder / "one.jsonl"
        if len(cases) > 1:  # interrupted, it goes on
            log = Path("results", f"faults-{origin()['commit']}-{chosen.seed}.jsonl")
        log.parent.mkdir(exist_ok=True)
        start = time.monotonic()
        found = conduct(Workshop(folder), cases, log, chosen.jobs)
    if chosen.out:
        command = f"python -m tests.faults --faults {chosen.faults} --seed {chosen.seed}"
        write_rows(found, chosen.out.with_suffix(".csv"))
        chosen.out.write_text(page(found, chosen.seed, command, sum(result.seconds for result in found) / chosen.jobs))
    for row in table(found):
        print(f"{row[0]:45}", *(f"{number:>6}" for number in row[1:]))
    for result in bad(found):
        print(f"{result.outcome}: --only '{result.kind}:{result.seed}': {result.detail}")
    print(f"{len(found)} faults in {time.monotonic() - start:.0f} s")
    sys.exit(bool(bad(found)))


main()
