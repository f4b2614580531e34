"""`touchledger publish`: publishes one event, given as JSON or as a customer's answer in options."""

import asyncio
import json
import secrets
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from services.chassis import clock
from services.chassis.errors import describe
from services.cli.publisher import REFUSED, Limits, Stopped, publish_one
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
from touchledger.v1 import events_pb2, ingest_pb2, ingest_pb2_grpc, problem_pb2

# A person waits: long enough for a restart of the system, not for a repair.
LIMITS = Limits(stall_seconds_max=15.0, call_seconds_max=10.0)


def publish(
    event: Annotated[
        str | None,
        typer.Argument(
            metavar="[EVENT]", help="The event as protobuf JSON; - or nothing reads it from stdin."
        ),
    ] = None,
    touchpoint: Annotated[
        str | None,
        typer.Option(help="Instead of EVENT, feedback on this touchpoint: store.checkout."),
    ] = None,
    csat: Annotated[str | None, typer.Option(metavar="1-5", help="Satisfaction.")] = None,
    nps: Annotated[str | None, typer.Option(metavar="0-10", help="Would recommend.")] = None,
    comment: Annotated[str | None, typer.Option(help="The customer's words.")] = None,
    customer: Annotated[str | None, typer.Option(help="Your reference of the customer.")] = None,
    stage: Annotated[str | None, typer.Option(help="Such as purchase or service.")] = None,
    channel: Annotated[str | None, typer.Option(help="Such as store, phone or web.")] = None,
    service_mode: Annotated[
        str | None, typer.Option(help="Who did the work: self, assisted or advised.")
    ] = None,
    data: DataOption = DEFAULT_DATA,
    target: TargetOption = None,
    key: KeyOption = None,
    ca: CaOption = None,
    json_output: Annotated[bool, typer.Option("--json", help="The result as JSON.")] = False,
) -> None:
    """Publish one event, and answer when it is stored.

    Exit code: 0 the event was taken, 1 it was refused, 3 the system can't be
    reached.
    """
    answer = {
        "csat": csat,
        "nps": nps,
        "comment": comment,
        "customer": customer,
        "stage": stage,
        "channel": channel,
        "service_mode": service_mode,
    }
    given = {name: value for name, value in answer.items() if value is not None}
    if event is not None and (touchpoint is not None or given):
        stop("got both EVENT and options of an answer, want one of them", EXIT_USAGE)
    if touchpoint is None and given:
        stop(f"--touchpoint: got nothing, want it with {_option(next(iter(given)))}", EXIT_USAGE)
    try:
        if touchpoint is not None:
            one = event_json.read(feedback(touchpoint, given))
        else:
            one = event_json.parse(_stdin() if event in (None, "-") else str(event))
        system = find(data=data, target=target, key=key)
        result = asyncio.run(_publish(one, system, ca))
    except event_json.EventJsonError as error:
        result = ingest_pb2.PublishResult(
            disposition=ingest_pb2.DISPOSITION_REJECTED, problem=error.problem
        )
    except (NoSystem, Stopped) as error:
        stop(str(error), EXIT_UNREACHABLE)
    _report(result, json_output=json_output)
    if result.disposition in REFUSED:
        raise typer.Exit(EXIT_REFUSED)


def feedback(touchpoint: str, given: dict[str, str]) -> dict[str, Any]:
    """A new FeedbackReceived that occurred now, as JSON, so that names are checked as anybody's."""
    # The one place where this command reads the clock.
    now = clock.now()
    received: dict[str, Any] = {
        name: f"{name}_{given[name]}".upper()
        for name in ("stage", "channel", "service_mode")
        if name in given
    }
    scales = {"csat": ("1", "5"), "nps": ("0", "10")}
    received["signals"] = [
        {
            "metric": f"METRIC_{name.upper()}",
            "value": given[name],
            "scale_min": scale_min,
            "scale_max": scale_max,
            "direction": "DIRECTION_HIGHER_IS_BETTER",
        }
        for name, (scale_min, scale_max) in scales.items()
        if name in given
    ]
    event: dict[str, Any] = {
        "event_id": uuid7(now.ToMilliseconds(), secrets.randbits(74)),
        "occurred_at": now.ToJsonString(),
        "touchpoint": touchpoint,
        "feedback_received": received,
    }
    if "customer" in given:
        event["customer"] = given["customer"]
    if "comment" in given:
        event["personal"] = {"comment": given["comment"]}
    return event


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def uuid7(unix_ms: int, random_bits: int) -> str:
    """RFC 9562, section 5.7, from 48 bits of time and 74 bits of chance. In Python's uuid from 3.14 on."""
    high, low = random_bits >> 62, random_bits & ((1 << 62) - 1)
    number = unix_ms << 80 | 0x7 << 76 | high << 64 | 0b10 << 62 | low
    digits = f"{number:032x}"
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


def _stdin() -> bytes:
    if sys.stdin.isatty():
        typer.echo("reading the event from the terminal; Ctrl-D ends it", err=True)
    return sys.stdin.buffer.read()


async def _publish(
    event: events_pb2.Event, system: System, ca: Path | None
) -> ingest_pb2.PublishResult:
    async with open_channel(system, ca=ca) as channel:
        stub = ingest_pb2_grpc.IngestServiceStub(channel)
        return await publish_one(stub, event, metadata=system.metadata, limits=LIMITS)


def _report(result: ingest_pb2.PublishResult, *, json_output: bool) -> None:
    name = ingest_pb2.Disposition.Name(result.disposition).removeprefix("DISPOSITION_")
    refused = result.disposition in REFUSED
    if json_output:
        shown: dict[str, object] = {"disposition": name}
        if result.HasField("position"):
            shown["position"] = result.position.number
            shown["journal_id"] = result.position.journal_id
        if refused:
            shown["problem"] = _problem(result.problem)
        typer.echo(json.dumps(shown))
    elif result.HasField("position"):
        typer.echo(f"{name} at position {result.position.number}")
    else:
        typer.echo(name)
    if refused:
        typer.echo(f"{describe(result.problem)} ({result.problem.code})", err=True)


def _problem(problem: problem_pb2.Problem) -> dict[str, str]:
    return {
        "code": problem.code,
        "field": problem.field,
        "got": problem.got,
        "want": problem.want,
    }
