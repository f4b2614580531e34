"""Proves the journal untouched, or names where it is not: python -m services.touchpoint.verify.

Reads the database itself and asks no service, which might be what lies. walk.py says what is checked.
"""

import argparse
import asyncio
import json
import sys
import time
from operator import attrgetter
from pathlib import Path
from typing import Any

import asyncpg
import uvloop
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from services.chassis import settings
from services.chassis.errors import DATABASE_AWAY, Corrupt, ServiceError
from services.chassis.postgres import CONNECT_TIMEOUT_SECONDS, Connection
from services.touchpoint.checkpoint import Checkpoint, Refused, read_all, read_public_key
from services.touchpoint.identity import originator_ids
from services.touchpoint.proof import journal_id_of, position_of, prove
from services.touchpoint.settings import Settings
from services.touchpoint.walk import Walked, walk

# Those of the other commands: something is wrong, bad usage, the database can't be asked.
EXIT_TOUCHED = 1
EXIT_USAGE = 2
EXIT_UNREACHABLE = 3
EXIT_INTERRUPTED = 130
# A page of seals comes in milliseconds; the search for what lies behind the head reads an index.
COMMAND_SECONDS_MAX = 60.0

WITHOUT_CHECKPOINT = (
    "that nothing was cut off the end, and that it was not written anew as a whole, by somebody who can "
    "write to the database; a checkpoint that was exported before proves it (--checkpoint)"
)
AFTER_CHECKPOINT = (
    "of what came after position {position}: that nothing was cut off or written anew by somebody who can "
    "write to the database"
)
ALWAYS = (
    "that the service alone appended: whoever can write to the database can append",
    "that the database server told the truth about its tables",
    "that lists, tracking and snapshots, which are made from the events, are as written",
)
POSITION_MAX = 2**63 - 1


def main() -> None:
    options = _options()
    url = settings.load(Settings).database_url.get_secret_value()
    try:
        sys.exit(uvloop.run(_run(url, options)))
    except KeyboardInterrupt:
        sys.exit(EXIT_INTERRUPTED)
    except Refused as error:
        _stop(str(error), EXIT_USAGE)
    except Corrupt as error:
        _stop(str(error), EXIT_TOUCHED)
    except ServiceError as error:
        _stop(str(error), EXIT_USAGE)
    except (asyncpg.UndefinedTableError, asyncpg.UndefinedColumnError):
        _stop(
            "the database has no sealed journal: start its touchpoint service once",
            EXIT_UNREACHABLE,
        )
    except DATABASE_AWAY as error:
        _stop(f"the database can't be asked ({type(error).__name__})", EXIT_UNREACHABLE)
    except asyncpg.PostgresError as error:
        _stop(f"the database refuses ({error})", EXIT_UNREACHABLE)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m services.touchpoint.verify")
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")
    parser.add_argument("--checkpoint", type=Path, metavar="FILE|FOLDER")
    parser.add_argument("--public-key", type=Path, metavar="FILE")
    parser.add_argument("--restored-from", action="append", default=[], metavar="JOURNAL_ID")
    parser.add_argument("--event", metavar="ID", help="print the proof of this event")
    parser.add_argument("--tenant", default="default")
    parser.add_argument("--source", default="local")
    parser.add_argument(
        "--position", type=int, help="print the proof of the event at this position"
    )
    options = parser.parse_args()
    if (options.checkpoint is None) != (options.public_key is None):
        parser.error("want --checkpoint and --public-key, or neither")
    if options.position is not None and not 1 <= options.position <= POSITION_MAX:
        _stop(f"--position: got {options.position}, want 1 to {POSITION_MAX}", EXIT_USAGE)
    for name in ("event", "tenant", "source"):
        try:
            (getattr(options, name) or "").encode()
        except UnicodeEncodeError:
            _stop(f"--{name}: got other bytes than UTF-8, want text", EXIT_USAGE)
    return options


async def _run(url: str, options: argparse.Namespace) -> int:
    checkpoints = list[Checkpoint]()
    if options.checkpoint:
        checkpoints = read_all(options.checkpoint, read_public_key(options.public_key))
    try:
        connection = await asyncpg.connect(
            url,
            timeout=CONNECT_TIMEOUT_SECONDS,
            command_timeout=COMMAND_SECONDS_MAX,
            server_settings={
                "application_name": "touchledger-verify",
                "timezone": "UTC",
                # A policy that hides rows is an error.
                "row_security": "off",
                # Functions and operators are PostgreSQL's own, whatever is set for the role or the database.
                "search_path": "pg_catalog",
            },
        )
    except ValueError:
        # Its text may quote the URL with its password.
        raise Refused("the database URL can't be used, want postgresql://…") from None
    try:
        if options.event is not None or options.position is not None:
            print(json.dumps(await _proof(connection, checkpoints, options)))
            return 0
        started_at = time.monotonic()
        with _Bar() as bar:
            walked = await walk(
                connection,
                checkpoints,
                restored_from=options.restored_from,
                on_progress=bar.show,
            )
        seconds = time.monotonic() - started_at
    except asyncpg.InternalClientError as error:
        # What asyncpg makes of Ctrl-C in the middle of a COPY.
        task = asyncio.current_task()
        if task and task.cancelling():
            raise KeyboardInterrupt from error
        raise
    finally:
        await connection.close(timeout=CONNECT_TIMEOUT_SECONDS)
    (_print_json if options.json else _print)(walked, checkpoints, seconds)
    return EXIT_TOUCHED if walked.problem else 0


async def _proof(
    connection: Connection, checkpoints: list[Checkpoint], options: argparse.Namespace
) -> dict[str, Any]:
    position = options.position
    if options.event is not None:
        [stream] = originator_ids(options.tenant, options.source, [options.event])
        position = await position_of(connection, stream)
    if not checkpoints:
        return await prove(connection, position, until=None)
    # Who checks the proof knows the journal by its id alone: what it was restored from is another.
    journal_id = await journal_id_of(connection)
    later = [
        each for each in checkpoints if each.journal_id == journal_id and each.position >= position
    ]
    if not later:
        raise Refused(
            f"{options.checkpoint}: got no checkpoint of journal {journal_id} "
            f"from position {position} on, want one"
        )
    return await prove(connection, position, until=min(later, key=attrgetter("position")))


def _not_proven(walked: Walked) -> list[str]:
    if not walked.agreed:
        return [WITHOUT_CHECKPOINT, *ALWAYS]
    if walked.agreed < walked.position:
        return [AFTER_CHECKPOINT.format(position=walked.agreed), *ALWAYS]
    return [*ALWAYS]


def _print_json(walked: Walked, checkpoints: list[Checkpoint], seconds: float) -> None:
    problem = walked.problem
    shown: dict[str, Any] = {
        "intact": problem is None,
        "journal_id": str(walked.journal_id) if walked.journal_id else None,
        "position": walked.position,
        "chain": walked.chain.hex(),
        "commits": walked.commits,
        "problem": problem and {"first": problem.first, "last": problem.last, "what": problem.what},
        "checkpoints": len(checkpoints),
        "checkpoint_position": walked.agreed or None,
        "not_proven": _not_proven(walked),
        "seconds": round(seconds, 3),
    }
    print(json.dumps(shown))


def _print(walked: Walked, checkpoints: list[Checkpoint], seconds: float) -> None:
    rate = walked.position / seconds if seconds else 0.0
    print(f"journal {walked.journal_id}")
    print(f"{walked.position:,} events in {walked.commits:,} commits fit their seal")
    if walked.agreed:
        print(f"{len(checkpoints):,} checkpoints, the last at position {walked.agreed:,}")
    print(f"chain at position {walked.position:,}: {walked.chain.hex()}")
    if walked.problem is None:
        for each in _not_proven(walked):
            print(f"not proven: {each}")
    print(f"{seconds:.1f} s, {rate:,.0f} events/s", file=sys.stderr)
    if walked.problem is not None:
        print(f"touchledger: {walked.problem}", file=sys.stderr)


class _Bar:
    """Progress for a person who looks on, and nothing for a file or pipe."""

    def __init__(self) -> None:
        console = Console(stderr=True)
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TaskProgressColumn(),
            TimeRemainingColumn(),
            console=console,
            disable=not console.is_terminal,
            transient=True,
        )
        self._task = self._bar.add_task("verifying", total=None)
        self._started_at = time.monotonic()

    def __enter__(self) -> "_Bar":
        self._bar.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._bar.stop()

    def show(self, position: int, head: int) -> None:
        rate = position / (time.monotonic() - self._started_at)
        self._bar.update(
            self._task,
            total=max(head, position),
            completed=position,
            description=f"position {position:,} ({rate:,.0f} events/s)",
        )


def _stop(message: str, exit_code: int) -> None:
    print(f"touchledger: {message}", file=sys.stderr)
    sys.exit(exit_code)


if __name__ == "__main__":
    main()
