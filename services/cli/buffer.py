"""`touchledger buffer`: what is queued in front of the journal and not recorded yet."""

import json
from collections.abc import AsyncIterator
from typing import Any

import grpc
import typer
from google.protobuf.json_format import MessageToDict
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from services.cli.ask import DEADLINE_SECONDS, ask, with_system
from services.cli.system import (
    DEFAULT_DATA,
    EXIT_REFUSED,
    CaOption,
    DataOption,
    JsonOption,
    KeyOption,
    System,
    TargetOption,
)
from touchledger.v1 import buffer_pb2 as pb
from touchledger.v1.buffer_pb2_grpc import BufferServiceStub

app = typer.Typer(
    name="buffer",
    help="What is queued in front of the journal: how much, who records it, and what was never recorded.",
    no_args_is_help=True,
)
# More are counted, and told by --json.
EVENTS_SHOWN_MAX = 50
EVENTS_LISTED_MAX = 100_000
MEBIBYTE = 1024 * 1024


@app.command()
def status(
    data: DataOption = DEFAULT_DATA,
    target: TargetOption = None,
    key: KeyOption = None,
    ca: CaOption = None,
    json_output: JsonOption = False,
) -> None:
    """Show how much is queued, for how long, and who records it."""
    answer = ask(
        BufferServiceStub,
        lambda stub, call: stub.GetBuffer(pb.GetBufferRequest(), **call),
        data=data,
        target=target,
        key=key,
        ca=ca,
    )
    if json_output:
        typer.echo(json.dumps(_as_dict(answer)))
        return
    for line in _lines(answer):
        typer.echo(line)
    table = Table(box=box.SIMPLE)
    table.add_column("partition", justify="right")
    table.add_column("queued batches", justify="right")
    table.add_column("recorded by")
    for each in answer.partitions:
        table.add_row(f"{each.partition}", f"{each.batches:,}", escape(each.owner) or "nobody")
    Console().print(table)


@app.command()
def reconcile(
    data: DataOption = DEFAULT_DATA,
    target: TargetOption = None,
    key: KeyOption = None,
    ca: CaOption = None,
    json_output: JsonOption = False,
) -> None:
    """Compare what is queued with the journal: show what was queued and never recorded. Changes nothing.

    What is queued at the moment is among it; ask again, and what stays was not recorded. Exit code 1 where
    there is some.
    """
    total = pb.ReconcileBufferResponse()

    async def pages(channel: grpc.aio.Channel, system: System) -> None:
        async for page in _pages(BufferServiceStub(channel), system):
            total.batches += page.batches
            total.recorded += page.recorded
            total.refused += page.refused
            total.unrecorded += page.unrecorded
            total.unreadable += page.unreadable
            total.events.extend(page.events[: max(0, EVENTS_LISTED_MAX - len(total.events))])

    with_system(pages, data=data, target=target, key=key, ca=ca)
    if json_output:
        typer.echo(json.dumps(_as_dict(total)))
    else:
        _show(total)
    if total.unrecorded or total.unreadable:
        raise typer.Exit(EXIT_REFUSED)


async def _pages(
    stub: BufferServiceStub, system: System
) -> AsyncIterator[pb.ReconcileBufferResponse]:
    asked = pb.ReconcileBufferRequest()
    while True:
        page = await stub.ReconcileBuffer(asked, metadata=system.metadata, timeout=DEADLINE_SECONDS)
        yield page
        if not page.next_page_token:
            return
        asked.page_token = page.next_page_token


def _lines(answer: pb.GetBufferResponse) -> list[str]:
    lines = ["Nothing is queued: all is recorded."]
    if answer.batches:
        waits = answer.oldest_age.ToNanoseconds() / 1e9
        lines = [
            f"{answer.batches:,} batches are queued and not recorded yet; the oldest waits {waits:,.1f} s.",
            f"They take {answer.bytes / MEBIBYTE:,.1f} of {answer.bytes_max / MEBIBYTE:,.0f} MiB.",
        ]
    lines.append(
        f"Each is kept by {answer.replicas} servers, of which {answer.replicas_current} are up to date. "
        f"The stream was made {answer.made_at.ToJsonString()}."
    )
    lines += [
        f"{each.tenant}: {each.batches:,} batches, {each.batches_of_fullest_partition:,} of at most "
        f"{each.batches_max_of_partition:,} in one partition."
        for each in answer.tenants
    ]
    if answer.refused_waiting:
        lines.append(f"{answer.refused_waiting:,} refused events are on their way into quarantine.")
    if answer.refused_of_nobody:
        lines.append(
            f"{answer.refused_of_nobody:,} events came under another tenant's name and belong to nobody."
        )
    return lines


def _show(total: pb.ReconcileBufferResponse) -> None:
    typer.echo(
        f"{total.batches:,} queued batches: {total.recorded:,} events are recorded already, "
        f"{total.refused:,} were refused, {total.unrecorded:,} are not recorded."
    )
    if total.unreadable:
        typer.echo(f"{total.unreadable:,} batches can't be read.")
    for each in total.events[:EVENTS_SHOWN_MAX]:
        typer.echo(
            f"  {each.tenant} {each.source} {each.event_id}, queued {each.queued_at.ToJsonString()}"
        )
    if total.unrecorded > EVENTS_SHOWN_MAX:
        typer.echo(f"  and {total.unrecorded - EVENTS_SHOWN_MAX:,} more: --json tells of them.")


def _as_dict(answer: pb.GetBufferResponse | pb.ReconcileBufferResponse) -> dict[str, Any]:
    return MessageToDict(
        answer, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
