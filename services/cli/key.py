"""`touchledger key`: makes, lists and revokes the keys that sources, people and programs call with."""

import json
import os
import re
import sys
from datetime import timedelta
from enum import StrEnum
from typing import Annotated, Any

import typer
from google.protobuf.timestamp_pb2 import Timestamp
from rich import box
from rich.console import Console
from rich.table import Table

from services.chassis import clock
from services.cli.ask import ask
from services.cli.data_folder import DataFolder
from services.cli.moment import moment
from services.cli.shown import cell
from services.cli.system import (
    DEFAULT_DATA,
    EXIT_UNREACHABLE,
    CaOption,
    DataOption,
    JsonOption,
    KeyOption,
    NoSystem,
    TargetOption,
    owner_url,
    stop,
)
from touchledger.v1 import events_pb2
from touchledger.v1 import keys_pb2 as pb
from touchledger.v1.keys_pb2_grpc import KeyServiceStub

app = typer.Typer(
    name="key",
    help="The keys that sources, people and programs call with: first, create, list, revoke.",
    no_args_is_help=True,
)

SPAN = re.compile(r"([1-9][0-9]{0,4})([dh])", re.ASCII)
UNIT = {"d": "days", "h": "hours"}
# What the fields of the proto and the columns behind them hold.
UINT32_MAX, INT64_MAX = 2**32 - 1, 2**63 - 1


class Scope(StrEnum):
    PUBLISH = "publish"
    QUERY = "query"
    RECOVER = "recover"
    ADMIN = "admin"
    BEACON = "beacon"


class Trust(StrEnum):
    OPEN = "open"
    SOURCE = "source"
    AUDITED = "audited"


SourceArgument = Annotated[
    str, typer.Argument(metavar="SOURCE", help="The system that will publish with it: till-17.")
]
ScopeOption = Annotated[
    list[Scope] | None,
    typer.Option("--scope", help="What it allows, once for each; publish where none is said."),
]
OriginOption = Annotated[
    list[str] | None,
    typer.Option(
        "--origin",
        metavar="ORIGIN",
        help="For a beacon key: a web origin that may use it, https://shop.example.",
    ),
]
ExpiresOption = Annotated[
    str,
    typer.Option(
        "--expires",
        metavar="SPAN|T",
        help="When it stops working: 90d, 12h, or 2027-01-01T00:00:00Z; default never.",
    ),
]


def _limit(flag: str, what: str, most: int = UINT32_MAX) -> typer.models.OptionInfo:
    option: typer.models.OptionInfo = typer.Option(
        flag, min=0, max=most, help=f"{what}; 0 leaves it to the gateway."
    )
    return option


@app.command()
def create(
    source: SourceArgument,
    scope: ScopeOption = None,
    trust: Annotated[
        Trust | None, typer.Option(help="How far the source can be relied on; default: source.")
    ] = None,
    origin: OriginOption = None,
    expires: ExpiresOption = "",
    events_per_second: Annotated[int, _limit("--events-per-second", "Events for long")] = 0,
    burst: Annotated[int, _limit("--burst", "Events at once beyond that")] = 0,
    bytes_per_second: Annotated[int, _limit("--bytes-per-second", "Bytes for long", INT64_MAX)] = 0,
    calls: Annotated[int, _limit("--calls", "Calls at the same time")] = 0,
    events_per_day: Annotated[
        int, _limit("--events-per-day", "Events of a UTC day", INT64_MAX)
    ] = 0,
    data: DataOption = DEFAULT_DATA,
    target: TargetOption = None,
    key: KeyOption = None,
    ca: CaOption = None,
    json_output: JsonOption = False,
) -> None:
    """Make a key and print it, once: it can't be shown again.

    A source may have two live keys for each scope, so that one can be put in
    the other's place without a gap.
    """
    wanted = pb.Key(
        source=source,
        scopes=[each.value for each in scope or [Scope.PUBLISH]],
        origins=origin or [],
        trust=f"TRUST_{trust.name}" if trust else None,
        events_per_second=events_per_second,
        burst_events=burst,
        bytes_per_second=bytes_per_second,
        concurrent_calls=calls,
        events_per_day=events_per_day,
    )
    if expires:
        wanted.expires_at.CopyFrom(_expiry(expires))
    answer = ask(
        KeyServiceStub,
        lambda stub, call: stub.CreateKey(pb.CreateKeyRequest(key=wanted), **call),
        data=data,
        target=target,
        key=key,
        ca=ca,
    )
    if json_output:
        typer.echo(json.dumps({**_row(answer.key), "secret": answer.secret}))
    else:
        # Alone on stdout, so that it can go from here into a file or a variable.
        typer.echo(answer.secret)
        typer.echo(
            f"key {answer.key.key_id} of {source}: {' '.join(answer.key.scopes)}; not shown again",
            err=True,
        )


@app.command("list")
def list_keys(
    source: Annotated[str, typer.Option("--source", help="Only those of this source.")] = "",
    include_dead: Annotated[
        bool, typer.Option("--all", help="Those that were revoked or have expired, too.")
    ] = False,
    data: DataOption = DEFAULT_DATA,
    target: TargetOption = None,
    key: KeyOption = None,
    ca: CaOption = None,
    json_output: JsonOption = False,
) -> None:
    """List the keys of your tenant, the youngest first, never their secrets."""
    request = pb.ListKeysRequest(source=source, include_dead=include_dead)
    answer = ask(
        KeyServiceStub,
        lambda stub, call: stub.ListKeys(request, **call),
        data=data,
        target=target,
        key=key,
        ca=ca,
    )
    if json_output:
        typer.echo(json.dumps([_row(each) for each in answer.keys]))
        return
    table = Table(box=box.SIMPLE)
    for column in ("key", "source", "scopes", "trust", "made", "until"):
        table.add_column(column)
    for each in answer.keys:
        table.add_row(
            each.key_id,
            cell(each.source),
            " ".join(each.scopes),
            events_pb2.Trust.Name(each.trust).removeprefix("TRUST_").lower(),
            each.created_at.ToJsonString()[:10],
            _until(each),
        )
    Console().print(table)


@app.command()
def revoke(
    key_id: Annotated[str, typer.Argument(metavar="KEY", help="As `list` shows it.")],
    data: DataOption = DEFAULT_DATA,
    target: TargetOption = None,
    key: KeyOption = None,
    ca: CaOption = None,
    json_output: JsonOption = False,
) -> None:
    """Revoke a key; within seconds it opens nothing."""
    answer = ask(
        KeyServiceStub,
        lambda stub, call: stub.RevokeKey(pb.RevokeKeyRequest(key_id=key_id), **call),
        data=data,
        target=target,
        key=key,
        ca=ca,
    )
    if json_output:
        typer.echo(json.dumps(_row(answer.key)))
    else:
        typer.echo(f"revoked {answer.key.key_id} of {answer.key.source}")


@app.command()
def first(
    tenant: Annotated[str, typer.Argument(metavar="TENANT", help="A tenant that has no key yet.")],
    data: DataOption = DEFAULT_DATA,
) -> None:
    """Make a tenant's first key, which makes its others. Needs the data folder of a running system.

    For a system that runs elsewhere: python -m services.gateway.first_key,
    with the gateway's own settings.
    """
    try:
        url = owner_url(data, "gateway")
    except NoSystem as error:
        stop(str(error), EXIT_UNREACHABLE)
    given = {
        "TOUCHLEDGER_GATEWAY_DATABASE_URL": url,
        "TOUCHLEDGER_GATEWAY_SECRET_KEY_FILE": str(DataFolder(data).gateway_key),
    }
    # -P: a folder `services` in the user's own is not ours.
    command = [sys.executable, "-P", "-m", "services.gateway.first_key", tenant]
    # In its place rather than beside it: the services are apart from the command line.
    os.execve(sys.executable, command, {**os.environ, **given})


def _expiry(text: str) -> Timestamp:
    """A time with its offset, or a span from now."""
    want = "a span such as 90d or 12h, or a time with its offset such as 2027-01-01T00:00:00Z"
    if span := SPAN.fullmatch(text):
        length = timedelta(**{UNIT[span[2]]: int(span[1])})
        return Timestamp(seconds=clock.now().seconds + int(length.total_seconds()))
    return moment("--expires", text, want=want)


def _until(key: pb.Key) -> str:
    if key.HasField("revoked_at"):
        return f"revoked {key.revoked_at.ToJsonString()[:10]}"
    return key.expires_at.ToJsonString()[:10] if key.HasField("expires_at") else "–"


def _row(key: pb.Key) -> dict[str, Any]:
    moments = {
        name: getattr(key, name).ToJsonString() if key.HasField(name) else None
        for name in ("created_at", "expires_at", "revoked_at")
    }
    return {
        "key_id": key.key_id,
        "source": key.source,
        "scopes": list(key.scopes),
        "trust": events_pb2.Trust.Name(key.trust),
        "origins": list(key.origins),
        "events_per_second": key.events_per_second,
        "burst_events": key.burst_events,
        "bytes_per_second": key.bytes_per_second,
        "concurrent_calls": key.concurrent_calls,
        "events_per_day": key.events_per_day,
        **moments,
    }
