"""What each `make bench/NAME` does around its measurement: makes a place for it, and prints the result."""

import argparse
import sys
import tempfile
from collections.abc import Callable, Coroutine
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

import uvloop

from bench import report
from bench.place import Place, place
from services.chassis import logs
from services.cli.stop_signals import StopRequested, StopSignals

# /tmp is memory on many systems, where nothing is flushed; this is not.
DISK = Path("/var/tmp")  # noqa: S108 (a folder of its own is made in it)

Row = TypeVar("Row", bound=Any)


def parser(name: str, description: str | None) -> argparse.ArgumentParser:
    """With the options that all have."""
    made = argparse.ArgumentParser(prog=f"make {name} ARGS=…", description=description)
    made.add_argument(
        "--folder", type=Path, default=DISK, help="for the stores' files, on a disk (%(default)s)"
    )
    made.add_argument("--json", action="store_true", help="rows and goals alone on stdout")
    return made


def count_of(value: str) -> int:
    count = int(value)
    if count < 1:
        raise argparse.ArgumentTypeError(f"got {count}, want 1 or more")
    return count


def run(
    options: argparse.Namespace,
    measured: Callable[[Place], Coroutine[Any, Any, tuple[list[Row], list[report.Goal]]]],
    rows_table: Callable[[list[Row]], str],
) -> None:
    """Measures, and prints the rows, dataclasses, and the goals."""
    # Standard output is for the result alone.
    logs.configure("bench")
    stop = StopSignals()
    try:
        with (
            stop,
            tempfile.TemporaryDirectory(prefix="touchledger-bench-", dir=options.folder) as folder,
            place(Path(folder), stop.pause) as here,
        ):
            rows, goals = uvloop.run(stop.watch(measured(here)))
    except StopRequested:
        raise SystemExit("stopped") from None
    if options.json:
        print(report.as_json([asdict(row) for row in rows], goals))
    else:
        print(f"\n{rows_table(rows)}\n\n{report.goals_table(goals)}")


def say(text: str) -> None:
    """How far it is."""
    print(text, file=sys.stderr, flush=True)
