"""Practises a disaster on a system of its own, and prints how long each step took: python -m tests.drill."""

import argparse
import tempfile
from pathlib import Path

from tests.drill.restore import drill

# /tmp is memory on many systems; a restore is made of reading and writing files.
DISK = Path("/var/tmp")  # noqa: S108 (a folder of its own is made in it)
EVENTS = 100_000


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="make drill ARGS=…", formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--events", type=int, default=EVENTS)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--folder", type=Path, default=DISK, help="for the system and its backups")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="touchledger-drill-", dir=options.folder) as name:
        done = drill(Path(name), events=options.events, seed=options.seed)
    for what, seconds in done.steps.items():
        print(f"{seconds:8.1f} s  {what}")
    for what, fact in done.facts.items():
        print(f"{fact!s:>10}  {what}")
    print(
        "\nScores as of the moment are those that were shown then, before and after a rebuild; the journal is"
        "\nas it was sealed; keys, quarantine and webhooks are as they were; what was lost came back once."
    )


if __name__ == "__main__":
    main()
