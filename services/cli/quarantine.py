"""`touchledger quarantine`: lists, shows, publishes again and gives up events that broke a rule.

After a day of wrong scales: `export` writes lines, any program mends those, `replay --from` publishes them.
"""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, TypeVar

import grpc
import typer
from rich import box
from rich.console import Console
from rich.table import Table

from services.chassis.errors import describe, from_rpc
from services.cli.ask import DEADLINE_SECONDS, with_system
from services.cli.shown import cell
from services.cli.system import (
    DEFAULT_DATA,
    EXIT_REFUSED,
    EXIT_USAGE,
    CaOption,
    DataOption,
    KeyOption,
    System,
    TargetOption,
    stop,
)
from touchledger import event_json
from touchledger.v1 import events_pb2, ingest_pb2
from touchledger.v1 import quarantine_pb2 as pb
from touchledger.v1.problem_pb2 import Problem
from touchledger.v1.quarantine_pb2_grpc import QuarantineServiceStub

app = typer.Typer(
    name="quarantine",
    help="Events that broke a rule which a person can mend: list, show, export, replay, discard.",
    no_args_is_help=True,
)

# Calls at once when many are replayed or discarded: the gateway's own work is behind each of them.
AT_ONCE = 16
# Of a call that may be repeated, as its hints say; some seconds, as a restart of the gateway takes.
TRIES_MAX = 20
PAGE_SIZE = 500
# What was published as an event; anything else is a vendor's document, of which no program mends lines.
FORMATS_OF_EVENTS = {"event", "event_json"}
# Above it the table says that there are more.
ROWS_DEFAULT = 100

# What is wrong with one entry and not with the others.
OF_THE_ENTRY = {
    grpc.StatusCode.NOT_FOUND,
    grpc.StatusCode.FAILED_PRECONDITION,
    grpc.StatusCode.INVALID_ARGUMENT,
}

Answer = TypeVar("Answer")
Item = TypeVar("Item")


class Status(StrEnum):
    OPEN = "open"
    RELEASED = "released"
    DISCARDED = "discarded"


IdArgument = Annotated[str, typer.Argument(metavar="ID", help="As `list` shows it.")]
SourceOption = Annotated[str, typer.Option("--source", help="Only of this source.")]
CodeOption = Annotated[
    str, typer.Option("--code", metavar="CODE", help="Only these: VALUE_OUTSIDE_SCALE.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="One JSON object a line.")]


@dataclass(frozen=True, slots=True)
class Session:
    """Calls of one command, each repeated where that may help."""

    stub: QuarantineServiceStub
    metadata: tuple[tuple[str, str], ...]

    async def call(self, rpc: Any, request: Any) -> Any:
        tries = 1
        while True:
            try:
                answer = await rpc(request, metadata=self.metadata, timeout=DEADLINE_SECONDS)
            except grpc.aio.AioRpcError as error:
                problem = from_rpc(error).problem
                if not problem.retryable or tries == TRIES_MAX:
                    raise
            else:
                if not isinstance(answer, pb.ReplayQuarantinedResponse):
                    return answer
                problem = answer.result.problem
                if answer.result.disposition != ingest_pb2.DISPOSITION_RETRY or tries == TRIES_MAX:
                    return answer
            tries += 1
            await asyncio.sleep(problem.retry_after.ToNanoseconds() / 1e9)

    async def entries(
        self, *, source: str, code: str, status: Status = Status.OPEN
    ) -> AsyncIterator[pb.QuarantineEntry]:
        """All of them, the youngest first."""
        request = pb.ListQuarantinedRequest(
            source=source,
            code=code,
            status=f"QUARANTINE_STATUS_{status.name}",
            page_size=PAGE_SIZE,
        )
        while True:
            page = await self.call(self.stub.ListQuarantined, request)
            for entry in page.entries:
                yield entry
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

    async def get(self, quarantine_id: str) -> pb.GetQuarantinedResponse:
        request = pb.GetQuarantinedRequest(quarantine_id=quarantine_id)
        answer: pb.GetQuarantinedResponse = await self.call(self.stub.GetQuarantined, request)
        return answer

    async def replay(self, one: "Again") -> ingest_pb2.PublishResult:
        """What became of it; REJECTED also where the entry itself is refused, so that the others go on."""
        request = pb.ReplayQuarantinedRequest(quarantine_id=one.quarantine_id, mended=one.mended)
        try:
            answer = await self.call(self.stub.ReplayQuarantined, request)
        except grpc.aio.AioRpcError as error:
            if error.code() not in OF_THE_ENTRY:
                raise
            rejected = ingest_pb2.DISPOSITION_REJECTED
            return ingest_pb2.PublishResult(disposition=rejected, problem=from_rpc(error).problem)
        result: ingest_pb2.PublishResult = answer.result
        return result

    async def discard(self, quarantine_id: str, reason: str) -> pb.QuarantineEntry:
        request = pb.DiscardQuarantinedRequest(quarantine_id=quarantine_id, reason=reason)
        answer: pb.DiscardQuarantinedResponse = await self.call(
            self.stub.DiscardQuarantined, request
        )
        return answer.entry


@dataclass(frozen=True, slots=True)
class Again:
    """An entry to publish again; as it came where nothing is mended."""

    quarantine_id: str
    mended: events_pb2.Event | None


@app.command("list")
def list_(
    source: SourceOption = "",
    code: CodeOption = "",
    status: Annotated[Status, typer.Option("--status")] = Status.OPEN,
    rows: Annotated[int, typer.Option("--rows", min=1, help="At most.")] = ROWS_DEFAULT,
    data: DataOption = DEFAULT_DATA,
    target: TargetOption = None,
    key: KeyOption = None,
    ca: CaOption = None,
    json_output: JsonOption = False,
) -> None:
    """List entries without their content, the youngest first."""

    async def some(session: Session) -> tuple[list[pb.QuarantineEntry], bool]:
        found = list[pb.QuarantineEntry]()
        async for entry in session.entries(source=source, code=code, status=status):
            if len(found) == rows:
                return found, True
            found.append(entry)
        return found, False

    found, more = _in_session(some, data=data, target=target, key=key, ca=ca)
    if json_output:
        for entry in found:
            typer.echo(json.dumps(_facts(entry)))
    else:
        Console().print(table(found))
    if more:
        typer.echo(f"touchledger: there are more than {rows}: --rows shows them", err=True)


@app.command()
def show(
    quarantine_id: IdArgument,
    data: DataOption = DEFAULT_DATA,
    target: TargetOption = None,
    key: KeyOption = None,
    ca: CaOption = None,
) -> None:
    """Show the event as JSON, to be edited and given to replay; what is wrong with it goes to stderr.

    It may be personal.
    """
    answer = _in_session(
        lambda session: session.get(quarantine_id), data=data, target=target, key=key, ca=ca
    )
    entry = answer.entry
    typer.echo(
        f"{_status(entry)}; {entry.source} sent it {entry.times_received} times, the first time at "
        f"{entry.received_at.ToJsonString()}\n{describe(entry.problem)} ({entry.problem.code})",
        err=True,
    )
    if answer.json:
        typer.echo(json.dumps(json.loads(answer.json), indent=2))
    elif answer.content:
        # A vendor's document that is no JSON.
        sys.stdout.buffer.write(answer.content)


@app.command()
def export(
    source: SourceOption = "",
    code: CodeOption = "",
    data: DataOption = DEFAULT_DATA,
    target: TargetOption = None,
    key: KeyOption = None,
    ca: CaOption = None,
) -> None:
    """Write open entries with their events, one JSON object a line, for `replay --from`.

    They may be personal. Documents of vendors are left out: `show` has them.
    """

    async def write(session: Session) -> int:
        left_out = 0

        async def of_events() -> AsyncIterator[pb.QuarantineEntry]:
            nonlocal left_out
            async for entry in session.entries(source=source, code=code):
                if entry.format in FORMATS_OF_EVENTS:
                    yield entry
                else:
                    left_out += 1

        async for chunk in _chunks(of_events()):
            answers = await asyncio.gather(*(session.get(each.quarantine_id) for each in chunk))
            for answer in answers:
                event = json.loads(answer.json) if answer.json else None
                typer.echo(json.dumps(_facts(answer.entry) | {"event": event}))
        return left_out

    left_out = _in_session(write, data=data, target=target, key=key, ca=ca)
    if left_out:
        typer.echo(
            f"touchledger: left out {left_out:,} that are documents of vendors: "
            "`show` and `replay ID --event` mend each",
            err=True,
        )


@app.command()
def replay(
    quarantine_id: Annotated[str, typer.Argument(metavar="[ID]")] = "",
    event: Annotated[
        str, typer.Option("--event", metavar="FILE|-", help="The mended event, as show has it.")
    ] = "",
    mended: Annotated[
        str, typer.Option("--from", metavar="FILE|-", help="Many mended ones, as export has them.")
    ] = "",
    everything: Annotated[bool, typer.Option("--all", help="All open ones, as they came.")] = False,
    source: SourceOption = "",
    code: CodeOption = "",
    data: DataOption = DEFAULT_DATA,
    target: TargetOption = None,
    key: KeyOption = None,
    ca: CaOption = None,
    json_output: JsonOption = False,
) -> None:
    """Publish an event again, mended or as it came, on behalf of the source that had sent it.

    Exit code: 0 all are in the journal, 1 not all, 3 the system can't be
    reached.
    """
    if sum(map(bool, (quarantine_id, mended, everything))) != 1:
        stop("want one of ID, --from and --all", EXIT_USAGE)
    if event and not quarantine_id:
        stop("--event: got no ID, want it with one", EXIT_USAGE)
    _refuse_filters(source or code, unless=everything)
    given = list[Again]()
    if quarantine_id:
        given = [Again(quarantine_id, _event(_read(event), "--event") if event else None)]
    elif mended:
        given = [*_lines(_read(mended))]

    async def publish(session: Session) -> bool:
        well = True
        chosen = _each(given)
        if everything:
            chosen = (
                Again(entry.quarantine_id, None)
                async for entry in session.entries(source=source, code=code)
            )
        async for chunk in _chunks(chosen):
            results = await asyncio.gather(*map(session.replay, chunk))
            for one, result in zip(chunk, results, strict=True):
                well &= _tell(one, result, json_output=json_output)
        return well

    if not _in_session(publish, data=data, target=target, key=key, ca=ca):
        raise typer.Exit(EXIT_REFUSED)


@app.command()
def discard(
    reason: Annotated[
        str, typer.Option("--reason", help="Why, in one line without personal data.")
    ],
    quarantine_id: Annotated[str, typer.Argument(metavar="[ID]")] = "",
    everything: Annotated[bool, typer.Option("--all", help="All open ones.")] = False,
    source: SourceOption = "",
    code: CodeOption = "",
    data: DataOption = DEFAULT_DATA,
    target: TargetOption = None,
    key: KeyOption = None,
    ca: CaOption = None,
) -> None:
    """Give entries up: their content is deleted, the rest is kept with the reason."""
    if bool(quarantine_id) == everything:
        stop("want one of ID and --all", EXIT_USAGE)
    _refuse_filters(source or code, unless=everything)

    async def give_up(session: Session) -> int:
        if quarantine_id:
            await session.discard(quarantine_id, reason)
            return 1
        count = 0
        async for chunk in _chunks(session.entries(source=source, code=code)):
            await asyncio.gather(*(session.discard(each.quarantine_id, reason) for each in chunk))
            count += len(chunk)
        return count

    count = _in_session(give_up, data=data, target=target, key=key, ca=ca)
    typer.echo(f"discarded {count:,}")


def _in_session(
    work: Callable[[Session], Awaitable[Answer]],
    *,
    data: Path | None,
    target: str | None,
    key: str | None,
    ca: Path | None,
) -> Answer:
    async def session(channel: grpc.aio.Channel, system: System) -> Answer:
        return await work(Session(QuarantineServiceStub(channel), system.metadata))

    return with_system(session, data=data, target=target, key=key, ca=ca)


def _refuse_filters(given: str, *, unless: bool) -> None:
    if given and not unless:
        stop("--source and --code: want them with --all", EXIT_USAGE)


def _read(name: str) -> str:
    try:
        return sys.stdin.read() if name == "-" else Path(name).read_text()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8"
        stop(f"{name}: can't be read ({reason})", EXIT_USAGE)


def _event(text: str, name: str) -> events_pb2.Event:
    try:
        return event_json.parse(text)
    except event_json.EventJsonError as error:
        stop(f"{name}: {error}", EXIT_USAGE)


def _lines(text: str) -> Iterator[Again]:
    """All are read before the first is published: a slip of the pen leaves nothing half done."""
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        name = f"--from, line {number}"
        try:
            value = event_json.decode(line)
            if not isinstance(value, dict) or not isinstance(value.get("quarantine_id"), str):
                stop(f"{name}: want an object with quarantine_id and event", EXIT_USAGE)
            yield Again(value["quarantine_id"], event_json.read(value.get("event")))
        except event_json.EventJsonError as error:
            stop(f"{name}: {error}", EXIT_USAGE)


async def _each(values: Iterable[Again]) -> AsyncIterator[Again]:
    for value in values:
        yield value


async def _chunks(values: AsyncIterator[Item]) -> AsyncIterator[list[Item]]:
    """As many as may be under way at once."""
    chunk = list[Item]()
    async for value in values:
        chunk.append(value)
        if len(chunk) == AT_ONCE:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def _tell(one: Again, result: ingest_pb2.PublishResult, *, json_output: bool) -> bool:
    """Whether it is in the journal."""
    name = ingest_pb2.Disposition.Name(result.disposition).removeprefix("DISPOSITION_")
    stored = result.HasField("position")
    if json_output:
        shown: dict[str, Any] = {"quarantine_id": one.quarantine_id, "disposition": name}
        if stored:
            shown["position"] = result.position.number
            shown["journal_id"] = result.position.journal_id
        else:
            shown["problem"] = _problem(result.problem)
        typer.echo(json.dumps(shown))
    else:
        where = f" at position {result.position.number}" if stored else ""
        typer.echo(f"{one.quarantine_id} {name}{where}")
    if not stored:
        why = f"{describe(result.problem)} ({result.problem.code})"
        typer.echo(f"{one.quarantine_id}: {why}", err=True)
    return stored


def table(entries: Iterable[pb.QuarantineEntry]) -> Table:
    shown = Table(box=box.SIMPLE, padding=(0, 1), pad_edge=False)
    # Whole, since it is what the other commands take.
    shown.add_column("id", no_wrap=True, min_width=32)
    for name in ("source", "event id", "what is wrong"):
        shown.add_column(name, overflow="fold")
    shown.add_column("came", justify="right", no_wrap=True)
    for entry in entries:
        shown.add_row(
            entry.quarantine_id,
            cell(entry.source),
            cell(entry.event_id),
            cell(f"{entry.problem.code} {describe(entry.problem)}"),
            f"{entry.times_received:,} ×",
        )
    return shown


def _facts(entry: pb.QuarantineEntry) -> dict[str, Any]:
    return {
        "quarantine_id": entry.quarantine_id,
        "source": entry.source,
        "event_id": entry.event_id,
        "received_at": entry.received_at.ToJsonString(),
        "last_received_at": entry.last_received_at.ToJsonString(),
        "times_received": entry.times_received,
        "format": entry.format,
        "problem": _problem(entry.problem),
        "status": _status(entry),
        "resolved_at": entry.resolved_at.ToJsonString() if entry.HasField("resolved_at") else None,
        "reason": entry.reason,
    }


def _problem(problem: Problem) -> dict[str, str]:
    return {
        "code": problem.code,
        "field": problem.field,
        "got": problem.got,
        "want": problem.want,
    }


def _status(entry: pb.QuarantineEntry) -> str:
    return pb.QuarantineStatus.Name(entry.status).removeprefix("QUARANTINE_STATUS_").lower()
