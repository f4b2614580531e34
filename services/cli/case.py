"""`touchledger case`: recovery cases, for who owns a touchpoint: lists, shows and decides.

The rules of what may follow what are the service's (cases.proto): its refusals are shown as they come.
"""

import asyncio
import json
import uuid
from collections.abc import Callable, Iterable, Iterator
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import grpc
import typer
from google.protobuf.timestamp_pb2 import Timestamp
from rich import box
from rich.console import Console
from rich.table import Table

from services.chassis.errors import from_rpc
from services.cli.ask import AWAY, DEADLINE_SECONDS, ask, with_system
from services.cli.shown import as_json, cell, utc, visible
from services.cli.system import (
    DEFAULT_DATA,
    EXIT_UNREACHABLE,
    EXIT_USAGE,
    CaOption,
    DataOption,
    JsonOption,
    KeyOption,
    System,
    TargetOption,
    stop,
)
from touchledger.v1 import cases_pb2 as pb
from touchledger.v1 import events_pb2
from touchledger.v1.cases_pb2_grpc import RecoveryCaseServiceStub

app = typer.Typer(
    name="case",
    help="Recovery cases: list, show, acknowledge, remedy, goodwill, close, reopen.",
    no_args_is_help=True,
)

# The server's largest page.
PAGE_SIZE_MAX = 100
# Of a decision that may be repeated, as its hints say: some seconds, as a restart takes.
TRIES_MAX = 20


class Status(StrEnum):
    OPEN = "open"
    ACKNOWLEDGED = "acknowledged"
    REMEDIED = "remedied"
    CLOSED = "closed"


class RemedyKind(StrEnum):
    REFUND = "refund"
    EXCHANGE = "exchange"
    REPAIR = "repair"
    REDO = "redo"
    APOLOGY = "apology"


class Result(StrEnum):
    ACCEPTED = "accepted"
    REFUSED = "refused"
    NO_ANSWER = "no-answer"


IdArgument = Annotated[str, typer.Argument(metavar="ID", help="As `list` shows it.")]
ByOption = Annotated[
    str,
    typer.Option("--by", metavar="WHO", help="Who decides; told after the source of the key."),
]
VersionOption = Annotated[
    int | None,
    typer.Option(
        "--version", min=1, help="Refuse where the case has gone on since: as `show` tells it."
    ),
]
RequestOption = Annotated[
    str,
    typer.Option(
        "--request-id",
        metavar="TEXT",
        help="To repeat a command whose answer was lost; with the same one nothing is done twice.",
    ),
]


@app.command("list")
def list_cases(
    status: Annotated[Status | None, typer.Option("--status", help="Only of this status.")] = None,
    touchpoint: Annotated[
        str, typer.Option("--touchpoint", metavar="NAME", help="Only at this touchpoint.")
    ] = "",
    assignee: Annotated[
        str, typer.Option("--assignee", metavar="WHO", help="Only of this assignee.")
    ] = "",
    limit: Annotated[int, typer.Option("--limit", min=1, help="Show at most so many.")] = 100,
    data: DataOption = DEFAULT_DATA,
    target: TargetOption = None,
    key: KeyOption = None,
    ca: CaOption = None,
    json_output: JsonOption = False,
) -> None:
    """List cases, by their ids."""
    request = pb.ListCasesRequest(
        status=f"CASE_STATUS_{status.name}" if status else "CASE_STATUS_UNSPECIFIED",
        page_size=min(limit + 1, PAGE_SIZE_MAX),
    )
    # The service takes one of them; by a touchpoint there are fewer to read.
    if touchpoint:
        request.touchpoint = touchpoint
    elif assignee:
        request.assignee = assignee

    async def pages(
        stub: RecoveryCaseServiceStub, call: dict[str, Any]
    ) -> tuple[list[pb.RecoveryCase], bool]:
        found = list[pb.RecoveryCase]()
        while True:
            page = await stub.ListCases(request, **call)
            found += (
                each for each in page.recovery_cases if not assignee or each.assignee == assignee
            )
            if len(found) > limit or not page.next_page_token:
                return found[:limit], len(found) > limit
            request.page_token = page.next_page_token

    found, more = ask(RecoveryCaseServiceStub, pages, data=data, target=target, key=key, ca=ca)
    if json_output:
        typer.echo(json.dumps([as_json(each) for each in found]))
    else:
        Console().print(table(found))
    if more:
        typer.echo(f"touchledger: there are more than {limit}: --limit shows them", err=True)


@app.command()
def show(
    case_id: IdArgument,
    data: DataOption = DEFAULT_DATA,
    target: TargetOption = None,
    key: KeyOption = None,
    ca: CaOption = None,
    json_output: JsonOption = False,
) -> None:
    """Show a case: where the company failed, and what was done about it."""
    answer = ask(
        RecoveryCaseServiceStub,
        lambda stub, call: stub.GetCase(pb.GetCaseRequest(case_id=case_id), **call),
        data=data,
        target=target,
        key=key,
        ca=ca,
    )
    _tell(answer.recovery_case, json_output=json_output)


@app.command()
def acknowledge(
    case_id: IdArgument,
    assignee: Annotated[
        str, typer.Option("--assignee", metavar="WHO", help="Whose case it is from now on.")
    ] = "",
    by: ByOption = "",
    version: VersionOption = None,
    request_id: RequestOption = "",
    data: DataOption = DEFAULT_DATA,
    target: TargetOption = None,
    key: KeyOption = None,
    ca: CaOption = None,
    json_output: JsonOption = False,
) -> None:
    """Take a case, whose customer knows so by now."""
    _decide(
        lambda stub: stub.AcknowledgeCase,
        pb.AcknowledgeCaseRequest(
            request_id=_request_id(request_id),
            case_id=case_id,
            decided_by=by,
            expected_version=version,
            assignee=assignee,
        ),
        data=data,
        target=target,
        key=key,
        ca=ca,
        json_output=json_output,
    )


@app.command()
def remedy(
    case_id: IdArgument,
    kind: Annotated[RemedyKind, typer.Option("--kind", help="What was put right.")],
    cost: Annotated[
        str, typer.Option("--cost", metavar="MONEY", help="To the company: '12.50 EUR'.")
    ] = "",
    by: ByOption = "",
    version: VersionOption = None,
    request_id: RequestOption = "",
    data: DataOption = DEFAULT_DATA,
    target: TargetOption = None,
    key: KeyOption = None,
    ca: CaOption = None,
    json_output: JsonOption = False,
) -> None:
    """Tell what was put right."""
    _decide(
        lambda stub: stub.RemedyCase,
        pb.RemedyCaseRequest(
            request_id=_request_id(request_id),
            case_id=case_id,
            decided_by=by,
            expected_version=version,
            remedy=events_pb2.Remedy(kind=f"REMEDY_KIND_{kind.name}", cost=_money("--cost", cost)),
        ),
        data=data,
        target=target,
        key=key,
        ca=ca,
        json_output=json_output,
    )


@app.command()
def goodwill(
    case_id: IdArgument,
    kind: Annotated[str, typer.Option("--kind", metavar="WORD", help="Such as voucher.")],
    value: Annotated[
        str, typer.Option("--value", metavar="MONEY", help="To the customer: '5 EUR'.")
    ] = "",
    by: ByOption = "",
    version: VersionOption = None,
    request_id: RequestOption = "",
    data: DataOption = DEFAULT_DATA,
    target: TargetOption = None,
    key: KeyOption = None,
    ca: CaOption = None,
    json_output: JsonOption = False,
) -> None:
    """Tell what gesture was made beyond the remedy."""
    _decide(
        lambda stub: stub.GiveGoodwill,
        pb.GiveGoodwillRequest(
            request_id=_request_id(request_id),
            case_id=case_id,
            decided_by=by,
            expected_version=version,
            goodwill=events_pb2.Goodwill(kind=kind, value=_money("--value", value)),
        ),
        data=data,
        target=target,
        key=key,
        ca=ca,
        json_output=json_output,
    )


@app.command()
def close(
    case_id: IdArgument,
    result: Annotated[
        Result | None,
        typer.Option(
            "--result", help="What the customer made of the remedy; required where there is one."
        ),
    ] = None,
    reason: Annotated[
        str,
        typer.Option(
            "--reason",
            metavar="WORD",
            help="Why, such as duplicate; required where there is no remedy.",
        ),
    ] = "",
    by: ByOption = "",
    version: VersionOption = None,
    request_id: RequestOption = "",
    data: DataOption = DEFAULT_DATA,
    target: TargetOption = None,
    key: KeyOption = None,
    ca: CaOption = None,
    json_output: JsonOption = False,
) -> None:
    """End a case, with what the customer made of the remedy or with a reason."""
    _decide(
        lambda stub: stub.CloseCase,
        pb.CloseCaseRequest(
            request_id=_request_id(request_id),
            case_id=case_id,
            decided_by=by,
            expected_version=version,
            result=f"RECOVERY_RESULT_{result.name if result else 'UNSPECIFIED'}",
            reason=reason,
        ),
        data=data,
        target=target,
        key=key,
        ca=ca,
        json_output=json_output,
    )


@app.command()
def reopen(
    case_id: IdArgument,
    reason: Annotated[
        str, typer.Option("--reason", metavar="WORD", help="Why, such as failed_again.")
    ],
    by: ByOption = "",
    version: VersionOption = None,
    request_id: RequestOption = "",
    data: DataOption = DEFAULT_DATA,
    target: TargetOption = None,
    key: KeyOption = None,
    ca: CaOption = None,
    json_output: JsonOption = False,
) -> None:
    """Take up a closed case again."""
    _decide(
        lambda stub: stub.ReopenCase,
        pb.ReopenCaseRequest(
            request_id=_request_id(request_id),
            case_id=case_id,
            decided_by=by,
            expected_version=version,
            reason=reason,
        ),
        data=data,
        target=target,
        key=key,
        ca=ca,
        json_output=json_output,
    )


def _decide(
    rpc: Callable[[RecoveryCaseServiceStub], Any],
    request: Any,
    *,
    data: Path | None,
    target: str | None,
    key: str | None,
    ca: Path | None,
    json_output: bool,
) -> None:
    """Repeated with the same request id where that may help: it is done once, whatever is lost."""

    async def call(channel: grpc.aio.Channel, system: System) -> Any:
        tries = 1
        while True:
            try:
                return await rpc(RecoveryCaseServiceStub(channel))(
                    request, metadata=system.metadata, timeout=DEADLINE_SECONDS
                )
            except grpc.aio.AioRpcError as error:
                problem = from_rpc(error).problem
                if problem.retryable and tries < TRIES_MAX:
                    tries += 1
                    await asyncio.sleep(problem.retry_after.ToNanoseconds() / 1e9)
                elif error.code() in AWAY:
                    again = f"--request-id {request.request_id} repeats it safely"
                    stop(f"{from_rpc(error)}; {again}", EXIT_UNREACHABLE)
                else:
                    raise

    answer = with_system(call, data=data, target=target, key=key, ca=ca)
    _tell(answer.recovery_case, json_output=json_output)


def _request_id(given: str) -> str:
    return given or str(uuid.uuid4())


def _money(option: str, text: str) -> events_pb2.Money | None:
    """What an amount may be is the service's to say."""
    if not text:
        return None
    amount, space, currency = text.partition(" ")
    if not space:
        stop(f"{option}: got {text!r}, want an amount and a currency: '12.50 EUR'", EXIT_USAGE)
    return events_pb2.Money(amount=amount, currency=currency)


def table(cases: Iterable[pb.RecoveryCase]) -> Table:
    shown = Table(box=box.SIMPLE, padding=(0, 1), pad_edge=False)
    # Whole, since it is what the other commands take; folded, a cell of more lines still has all of it.
    shown.add_column("id", overflow="fold")
    for name in ("status", "severity", "touchpoint", "assignee"):
        shown.add_column(name, overflow="fold")
    shown.add_column("opened", no_wrap=True)
    for each in cases:
        shown.add_row(
            cell(each.case_id),
            _word(pb.CaseStatus.Name(each.status), "CASE_STATUS_"),
            _word(events_pb2.Severity.Name(each.severity), "SEVERITY_"),
            cell(each.touchpoint),
            cell(each.assignee) or "–",
            utc(each.opened_at),
        )
    return shown


def _tell(case: pb.RecoveryCase, *, json_output: bool) -> None:
    if json_output:
        typer.echo(json.dumps(as_json(case)))
        return
    status = _word(pb.CaseStatus.Name(case.status), "CASE_STATUS_")
    severity = _word(events_pb2.Severity.Name(case.severity), "SEVERITY_")
    typer.echo(visible(f"{case.case_id}: {status}, version {case.version}"))
    typer.echo(visible(f"  {severity} failure at {case.touchpoint}, {case.assignee or 'nobody'}'s"))
    if case.HasField("failure"):
        typer.echo(visible(f"  told by event {case.failure.event_id} of {case.failure.source}"))
    if case.correlation_id:
        typer.echo(visible(f"  episode {case.correlation_id}"))
    # In the order of decisions: after a reopening, what was put right before it comes before it.
    for moment, done in sorted(_done(case), key=lambda each: each[0].ToNanoseconds()):
        typer.echo(visible(f"  {utc(moment)} {done}"))


def _done(case: pb.RecoveryCase) -> Iterator[tuple[Timestamp, str]]:
    """What was decided, and when, as the case stands."""
    yield case.opened_at, f"opened by {case.opened_by}"
    if case.HasField("reopened_at"):
        yield case.reopened_at, f"reopened ({case.reopened_times} ×)"
    if case.HasField("acknowledged_at"):
        yield case.acknowledged_at, "acknowledged"
    for each in case.remedies:
        kind = _word(events_pb2.RemedyKind.Name(each.remedy.kind), "REMEDY_KIND_")
        yield each.decided_at, f"remedy {kind}{_amount(each.remedy.cost)} by {each.decided_by}"
    for given in case.goodwill:
        value = _amount(given.goodwill.value)
        yield given.decided_at, f"goodwill {given.goodwill.kind}{value} by {given.decided_by}"
    if case.HasField("closed_at"):
        result = _word(events_pb2.RecoveryResult.Name(case.result), "RECOVERY_RESULT_")
        why = f", {case.close_reason}" if case.close_reason else ""
        yield case.closed_at, f"closed by {case.decided_by}: {result}{why}"


def _amount(money: events_pb2.Money) -> str:
    return f" {money.amount} {money.currency}" if money.amount else ""


def _word(name: str, prefix: str) -> str:
    return name.removeprefix(prefix).lower().replace("_", " ")
