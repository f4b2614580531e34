"""`touchledger replay`: publishes a file of events, shows progress, and resumes where it was cut off.

Batches and repetitions are publisher.py's, what a line must look like is touchledger.event_json's.
"""

import asyncio
import concurrent.futures
import contextlib
import hashlib
import json
import os
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich import box
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.table import Table

from services.chassis.errors import describe
from services.cli import olist
from services.cli.publisher import Limits, Line, Stopped, Tally, pages_of, publish_all
from services.cli.system import (
    DEFAULT_DATA,
    EXIT_REFUSED,
    EXIT_UNREACHABLE,
    EXIT_USAGE,
    CaOption,
    DataOption,
    KeyOption,
    NoSystem,
    System,
    TargetOption,
    find,
    open_channel,
    stop,
)
from touchledger import event_json
from touchledger.v1 import ingest_pb2, ingest_pb2_grpc, problem_pb2

# An event is at most 64 KiB as protobuf; even with every character escaped its JSON stays below this.
LINE_BYTES_MAX = 1024 * 1024
# What is read at once, a few hundred lines: parsing it holds the answers up for some 20 ms.
CHUNK_BYTES = 256 * 1024
# How often the resume point is written. What a kill loses is published again, as DUPLICATE.
STATE_EVERY_SECONDS = 0.5
EXIT_INTERRUPTED = 130
BYTE_ORDER_MARK = b"\xef\xbb\xbf"

# The order in which people are told.
DISPOSITIONS = ("RECORDED", "QUEUED", "DUPLICATE", "QUARANTINED", "REJECTED")


class Format(StrEnum):
    NDJSON = "ndjson"
    OLIST = "olist"


def replay(
    file: Annotated[
        str,
        typer.Argument(
            metavar="FILE",
            help="One event per line as protobuf JSON, - for stdin; a folder with --format olist.",
        ),
    ],
    format: Annotated[Format, typer.Option("--format", help="What FILE is.")] = Format.NDJSON,
    data: DataOption = DEFAULT_DATA,
    target: TargetOption = None,
    key: KeyOption = None,
    ca: CaOption = None,
    json_output: Annotated[
        bool, typer.Option("--json", help="Counts and problems as JSON.")
    ] = False,
    from_start: Annotated[
        bool, typer.Option("--from-start", help="Don't resume, publish everything again.")
    ] = False,
    give_up_after: Annotated[
        float, typer.Option(metavar="SECONDS", help="How long to go on without progress.", min=1)
    ] = Limits().stall_seconds_max,
) -> None:
    """Publish a file of events. Cut off and run again, it resumes.

    Exit code: 0 every event was taken, 1 some were refused, 2 FILE can't be
    read, 3 the system can't be reached.
    """
    unit = "event" if format is Format.OLIST else "line"
    try:
        system = find(data=data, target=target, key=key)
        # With an address or a key of its own it is another system, tenant or source: none of it is there.
        elsewhere = (target or "", key or "")
        resume_point = _resume_point(DEFAULT_DATA if target else data, file, format, elsewhere)
        if resume_point and from_start:
            resume_point.remove()
        start = resume_point.read() if resume_point else START
        if start.number:
            typer.echo(
                f"resuming after {unit} {start.number}; the counts are of this run alone", err=True
            )
        tally = Tally(settled_through=start.number, settled_end=start.end)
        run = _Run(system, ca, _source(file, format, start), tally, unit, resume_point)
        # One batch after the other: the journal has the order of the file, so that what was known at some
        # time can be asked for as of a position.
        limits = Limits(stall_seconds_max=give_up_after, batches_in_flight_max=1)
        trouble = run.to_the_end(limits)
    except NoSystem as error:
        stop(str(error), EXIT_UNREACHABLE)
    except olist.OlistError as error:
        stop(str(error), EXIT_USAGE)
    except OSError as error:
        stop(f"{error.filename or file}: {error.strerror or error}", EXIT_USAGE)
    _report(tally, start, unit, complete=trouble is None, json_output=json_output)
    if trouble is not None:
        again = f"; run it again to resume after {unit} {tally.settled_through}"
        stop(f"{trouble.told}{again if resume_point else ''}", trouble.exit_code)
    if tally.refused:
        raise typer.Exit(EXIT_REFUSED)


@dataclass(frozen=True, slots=True)
class Start:
    """Where to go on: behind this line, at this byte. For Olist both are the number of an event."""

    number: int
    end: int


START = Start(0, 0)


@dataclass(frozen=True, slots=True)
class ResumePoint:
    """A small file that says how many leading lines of one input are settled in one system."""

    path: Path

    def read(self) -> Start:
        # Whatever is wrong with it: publishing from the start is right too, only slower.
        with contextlib.suppress(OSError, ValueError, TypeError, KeyError):
            state = json.loads(self.path.read_text())
            start = Start(int(state["settled"]), int(state["end"]))
            return start if start.number > 0 and start.end > 0 else START
        return START

    def write(self, tally: Tally) -> None:
        # The folder may not exist yet; should it become a data folder, it is for its owner alone.
        self.path.parent.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.path.parent.mkdir(mode=0o700, exist_ok=True)
        # Replaced whole, as a kill may come at any time. No fsync: after a power cut the file may be
        # lost or empty, and `read` says START.
        written = self.path.with_suffix(f".{os.getpid()}")
        written.write_text(json.dumps({"settled": tally.settled_through, "end": tally.settled_end}))
        written.replace(self.path)

    def remove(self) -> None:
        self.path.unlink(missing_ok=True)


def _resume_point(
    data: Path, file: str, format: Format, elsewhere: tuple[str, ...]
) -> ResumePoint | None:
    """None for what can't be read a second time."""
    if file == "-":
        return None
    path = Path(file).absolute()
    if format is Format.NDJSON and not path.is_file():
        return None
    parts = sorted(path.glob("*.csv")) if format is Format.OLIST else [path]
    # Another size or time of change is another input: its lines may not be the ones that were settled.
    seen = [(each.name, each.stat().st_size, each.stat().st_mtime_ns) for each in parts]
    identity = json.dumps([str(path), format.value, *elsewhere, seen])
    return ResumePoint(data / "replay" / f"{hashlib.sha256(identity.encode()).hexdigest()}.json")


@dataclass(frozen=True, slots=True)
class Source:
    pages: AsyncIterator[list[Line]]
    # Where the last Line.end will be; None when nobody knows.
    end: int | None


def _source(file: str, format: Format, start: Start) -> Source:
    """Opens the input, or raises what is wrong with it before anything is sent."""
    if format is Format.OLIST:
        events = olist.read(Path(file))
        return Source(pages_of(events, start=start.number), len(events))
    if file == "-":
        return Source(_pages(_stream_chunks(sys.stdin.fileno()), start), None)
    path = Path(file)
    if path.is_dir():
        raise IsADirectoryError(0, "got a folder, want a file, or --format olist", file)
    descriptor = os.open(path, os.O_RDONLY)
    if not path.is_file():  # a pipe, such as bash makes of <(command)
        return Source(_pages(_stream_chunks(descriptor), start), None)
    return Source(_pages(_file_chunks(descriptor, start), start), path.stat().st_size)


async def _file_chunks(descriptor: int, start: Start) -> AsyncIterator[bytes]:
    with os.fdopen(descriptor, "rb", buffering=0) as file:
        file.seek(start.end)
        while chunk := file.read(CHUNK_BYTES):
            yield chunk


async def _stream_chunks(descriptor: int) -> AsyncIterator[bytes]:
    """What comes out of a pipe or a terminal, as it comes."""
    loop = asyncio.get_running_loop()
    # Bounded: the writer of a pipe waits, as it should, while the system is slower than it is.
    queue: asyncio.Queue[bytes | OSError] = asyncio.Queue(maxsize=2)

    def pump() -> None:
        # Both mean that nobody reads any more.
        with contextlib.suppress(RuntimeError, concurrent.futures.CancelledError):
            chunk: bytes | OSError = b"first"
            while chunk and not isinstance(chunk, OSError):
                try:
                    chunk = os.read(descriptor, CHUNK_BYTES)
                except OSError as error:
                    chunk = error
                asyncio.run_coroutine_threadsafe(queue.put(chunk), loop).result()

    # A daemon, and os.read rather than sys.stdin: the end of the process waits for neither thread nor lock.
    threading.Thread(target=pump, name="read", daemon=True).start()
    while chunk := await queue.get():
        if isinstance(chunk, OSError):
            raise chunk
        yield chunk


async def _pages(chunks: AsyncIterator[bytes], start: Start) -> AsyncIterator[list[Line]]:
    lines = Lines(start)
    async for chunk in chunks:
        if page := list(lines.feed(chunk)):
            yield page
    if page := list(lines.rest()):
        yield page


class Lines:
    """Cuts bytes into lines of bounded length and reads an event from each."""

    def __init__(self, start: Start = START) -> None:
        self._number = start.number
        self._end = start.end
        # What has come of a line that is not complete, and how much of it was dropped for its length.
        self._begun = b""
        self._dropped_bytes = 0

    def feed(self, chunk: bytes) -> Iterator[Line]:
        *whole, begun = (self._begun + chunk).split(b"\n")
        for text in whole:
            yield from self._line(text, newline_bytes=1)
        if len(begun) > LINE_BYTES_MAX:
            self._dropped_bytes += len(begun)
            begun = b""
        self._begun = begun

    def rest(self) -> Iterator[Line]:
        """The last line, where no line end follows it."""
        if self._begun or self._dropped_bytes:
            yield from self._line(self._begun, newline_bytes=0)

    def _line(self, text: bytes, *, newline_bytes: int) -> Iterator[Line]:
        length = self._dropped_bytes + len(text)
        self._dropped_bytes = 0
        self._number += 1
        self._end += length + newline_bytes
        if self._number == 1:
            text = text.removeprefix(BYTE_ORDER_MARK)
        if length > LINE_BYTES_MAX:
            got, want = f"a line of {length} bytes", f"at most {LINE_BYTES_MAX}"
            problem = problem_pb2.Problem(code="LINE_TOO_LONG", got=got, want=want)
            yield Line(self._number, problem, self._end)
        elif text.strip():
            try:
                yield Line(self._number, event_json.parse(text), self._end)
            except event_json.EventJsonError as error:
                yield Line(self._number, error.problem, self._end)


@dataclass(frozen=True, slots=True)
class Trouble:
    told: str
    exit_code: int


class _Run:
    """One run of the command, once everything is found."""

    def __init__(
        self,
        system: System,
        ca: Path | None,
        source: Source,
        tally: Tally,
        unit: str,
        resume_point: ResumePoint | None,
    ) -> None:
        self._system = system
        self._ca = ca
        self._source = source
        self._tally = tally
        self._resume_point = resume_point
        self._unit = unit
        self._saved_at = 0.0
        self._saving: asyncio.TimerHandle | None = None
        console = Console(stderr=True)
        # Nothing but a final line where no person looks on: a log file is not a screen.
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TaskProgressColumn(),
            TimeRemainingColumn(),
            console=console,
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task("publishing", total=source.end, completed=tally.settled_end)

    def to_the_end(self, limits: Limits) -> Trouble | None:
        started_at = time.monotonic()
        trouble = None
        try:
            with self._bar:
                asyncio.run(self._publish(limits))
        except Stopped as error:
            trouble = Trouble(str(error), EXIT_UNREACHABLE)
        except KeyboardInterrupt:
            trouble = Trouble("interrupted", EXIT_INTERRUPTED)
        taken = time.monotonic() - started_at
        typer.echo(f"{self._tally.counts.total():,} events in {taken:.1f} s", err=True)
        return trouble

    async def _publish(self, limits: Limits) -> None:
        try:
            async with open_channel(self._system, ca=self._ca) as channel:
                await publish_all(
                    ingest_pb2_grpc.IngestServiceStub(channel),
                    self._source.pages,
                    metadata=self._system.metadata,
                    tally=self._tally,
                    on_progress=self._on_progress,
                    limits=limits,
                )
        except BaseException:
            self._save()
            raise
        finally:
            if self._saving:
                self._saving.cancel()
        # A finished input that is replayed again is published whole again, and shows as DUPLICATE.
        if self._resume_point:
            self._resume_point.remove()

    def _on_progress(self, tally: Tally) -> None:
        self._bar.update(
            self._task,
            completed=tally.settled_end,
            description=f"{self._unit} {tally.settled_through:,}",
        )
        # A timer, and no look at the clock alone: what is settled just before a long wait is kept too.
        if self._saving is None and self._resume_point and tally.settled_through:
            wait = self._saved_at + STATE_EVERY_SECONDS - time.monotonic()
            self._saving = asyncio.get_running_loop().call_later(max(wait, 0), self._save)

    def _save(self) -> None:
        self._saving = None
        self._saved_at = time.monotonic()
        if self._resume_point is None or not self._tally.settled_through:
            return
        try:
            self._resume_point.write(self._tally)
        except OSError as error:
            # No reason to stop: publishing everything again is safe.
            told = f"{self._resume_point.path}: {error.strerror}; a later run can't resume"
            self._bar.console.print(told, markup=False, highlight=False, soft_wrap=True)
            self._resume_point = None


def _report(tally: Tally, start: Start, unit: str, *, complete: bool, json_output: bool) -> None:
    """Counts on stdout; problems there as well as JSON, else on stderr."""
    counts = {
        name: tally.counts[ingest_pb2.Disposition.Value(f"DISPOSITION_{name}")]
        for name in DISPOSITIONS
    }
    problems = tally.problems
    if json_output:
        shown: dict[str, object] = dict(counts)
        shown["complete"] = complete
        shown["resumed_after"] = start.number
        shown["settled_through"] = tally.settled_through
        shown["problems"] = [
            {
                "line": each.line,
                "event_id": each.event_id,
                "code": each.problem.code,
                "field": each.problem.field,
                "got": each.problem.got,
                "want": each.problem.want,
            }
            for each in problems
        ]
        typer.echo(json.dumps(shown))
        return
    for each in problems:
        event = f" {each.event_id!r}" if each.event_id else ""
        told = f"{describe(each.problem)} ({each.problem.code})"
        typer.echo(f"{unit} {each.line}{event}: {told}", err=True)
    if tally.refused > len(problems):
        typer.echo(f"and {tally.refused - len(problems)} more refused", err=True)
    table = Table("disposition", box=box.SIMPLE)
    table.add_column("events", justify="right")
    for name, count in counts.items():
        table.add_row(name, f"{count:,}")
    Console().print(table)
