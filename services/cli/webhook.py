"""`touchledger webhook`: makes, lists, changes and deletes the places that vendors deliver to, maps again."""

import json
import sys
from typing import Annotated, Any

import typer
from rich import box
from rich.console import Console
from rich.table import Table

from services.chassis.errors import describe
from services.cli.ask import ask
from services.cli.key import Trust
from services.cli.moment import moment
from services.cli.shown import cell
from services.cli.system import (
    DEFAULT_DATA,
    EXIT_REFUSED,
    EXIT_USAGE,
    CaOption,
    DataOption,
    JsonOption,
    KeyOption,
    TargetOption,
    stop,
)
from touchledger.v1 import events_pb2
from touchledger.v1 import webhooks_pb2 as pb
from touchledger.v1.webhooks_pb2_grpc import WebhookServiceStub

app = typer.Typer(
    name="webhook",
    help="The places that vendors deliver to: create, list, update, delete, replay.",
    no_args_is_help=True,
)

COUNTS = (
    *("deliveries", "empty", "recorded", "duplicates", "quarantined", "rejected", "conflicts"),
    "waiting",
)


IdArgument = Annotated[str, typer.Argument(metavar="ID", help="As `list` shows it.")]
SecretOption = Annotated[
    typer.FileText | None,
    typer.Option(
        "--secret-file", metavar="FILE|-", help="Holds the vendor's signing secret, on one line."
    ),
]
ConfigOption = Annotated[
    typer.FileText | None,
    typer.Option("--config", metavar="FILE|-", help="JSON object that the adapter is told."),
]
PUBLIC_URL = typer.Option(
    "--public-url",
    metavar="URL",
    help="Where the vendor reaches the gateway: https://events.shop.example.",
)


@app.command()
def create(
    adapter: Annotated[str, typer.Argument(metavar="ADAPTER", help="Such as square.v1.")],
    source: Annotated[
        str, typer.Argument(metavar="SOURCE", help="The source that its events are of.")
    ],
    public_url: Annotated[str, PUBLIC_URL],
    secret: SecretOption = None,
    config: ConfigOption = None,
    with_api_key: Annotated[
        bool,
        typer.Option("--with-api-key", help="Deliveries carry an API key, not a signature."),
    ] = False,
    trust: Annotated[Trust, typer.Option(help="How far the source is relied on.")] = Trust.SOURCE,
    data: DataOption = DEFAULT_DATA,
    target: TargetOption = None,
    key: KeyOption = None,
    ca: CaOption = None,
    json_output: JsonOption = False,
) -> None:
    """Make a webhook and print the URL that the vendor posts to.

    Many vendors tell the signing secret only once they know the URL: set it
    then with `update --secret-file`. Until then all deliveries are refused.
    """
    request = pb.CreateWebhookRequest(
        webhook=pb.Webhook(
            adapter=adapter,
            source=source,
            trust=f"TRUST_{trust.name}",
            config_json=config.read() if config else "",
            with_api_key=with_api_key,
        ),
        public_url=public_url,
        secret=secret.read().strip() if secret else "",
    )
    answer = ask(
        WebhookServiceStub,
        lambda stub, call: stub.CreateWebhook(request, **call),
        data=data,
        target=target,
        key=key,
        ca=ca,
    )
    if json_output:
        typer.echo(json.dumps(_row(answer.webhook)))
    else:
        # Alone on stdout, so that it can go from here into a file or a variable.
        typer.echo(answer.webhook.url)
        typer.echo(f"webhook {answer.webhook.webhook_id} of {source}", err=True)


@app.command("list")
def list_webhooks(
    source: Annotated[str, typer.Option("--source", help="Only those of this source.")] = "",
    data: DataOption = DEFAULT_DATA,
    target: TargetOption = None,
    key: KeyOption = None,
    ca: CaOption = None,
    json_output: JsonOption = False,
) -> None:
    """List your tenant's webhooks, the youngest first, and what came of their deliveries."""
    request = pb.ListWebhooksRequest(source=source)
    answer = ask(
        WebhookServiceStub,
        lambda stub, call: stub.ListWebhooks(request, **call),
        data=data,
        target=target,
        key=key,
        ca=ca,
    )
    if json_output:
        typer.echo(json.dumps([_row(each) for each in answer.webhooks]))
        return
    table = Table(box=box.SIMPLE)
    # Whole, as it is what the other commands take.
    table.add_column("webhook", no_wrap=True)
    for column in ("adapter", "source", "opened by", "what came"):
        table.add_column(column)
    for each in answer.webhooks:
        opened_by = "secret" if each.has_secret else "nothing yet"
        table.add_row(
            each.webhook_id,
            each.adapter,
            cell(each.source),
            "API key" if each.with_api_key else opened_by,
            _told(each.counts),
        )
    Console().print(table)


@app.command()
def update(
    webhook_id: IdArgument,
    secret: SecretOption = None,
    config: ConfigOption = None,
    public_url: Annotated[str | None, PUBLIC_URL] = None,
    data: DataOption = DEFAULT_DATA,
    target: TargetOption = None,
    key: KeyOption = None,
    ca: CaOption = None,
    json_output: JsonOption = False,
) -> None:
    """Change a webhook's secret, configuration or public URL; gateways know it within seconds."""
    request = pb.UpdateWebhookRequest(
        webhook_id=webhook_id,
        secret=secret.read().strip() if secret else None,
        config_json=config.read() if config else None,
        public_url=public_url,
    )
    if len(request.ListFields()) == 1:
        stop("nothing to change, want --secret-file, --config or --public-url", EXIT_USAGE)
    answer = ask(
        WebhookServiceStub,
        lambda stub, call: stub.UpdateWebhook(request, **call),
        data=data,
        target=target,
        key=key,
        ca=ca,
    )
    _print_done("changed", answer.webhook, json_output=json_output)


@app.command()
def delete(
    webhook_id: IdArgument,
    data: DataOption = DEFAULT_DATA,
    target: TargetOption = None,
    key: KeyOption = None,
    ca: CaOption = None,
    json_output: JsonOption = False,
) -> None:
    """Delete a webhook with its deliveries; within seconds it takes nothing."""
    request = pb.DeleteWebhookRequest(webhook_id=webhook_id)
    answer = ask(
        WebhookServiceStub,
        lambda stub, call: stub.DeleteWebhook(request, **call),
        data=data,
        target=target,
        key=key,
        ca=ca,
    )
    _print_done("deleted", answer.webhook, json_output=json_output)


@app.command()
def replay(
    webhook_id: IdArgument,
    received_from: Annotated[
        str,
        typer.Option(
            "--from", metavar="T", help="Deliveries from then on: 2026-03-01T00:00:00Z; else all."
        ),
    ] = "",
    data: DataOption = DEFAULT_DATA,
    target: TargetOption = None,
    key: KeyOption = None,
    ca: CaOption = None,
    json_output: JsonOption = False,
) -> None:
    """Map stored deliveries again, after a mapping was mended. Ends with 1 where some are still not recorded.

    What is in the journal stays as it is: an event that would have other
    content now is told as a conflict. To put it right, publish a correction.
    """
    request = pb.ReplayDeliveriesRequest(webhook_id=webhook_id)
    if received_from:
        want = "a time with its offset such as 2026-03-01T00:00:00Z"
        request.received_from.CopyFrom(moment("--from", received_from, want=want))
    totals = dict.fromkeys(COUNTS[:-1], 0)
    troubled = False
    while True:
        page = ask(
            WebhookServiceStub,
            lambda stub, call: stub.ReplayDeliveries(request, **call),
            data=data,
            target=target,
            key=key,
            ca=ca,
        )
        for name in totals:
            totals[name] += getattr(page.counts, name)
        troubled = troubled or bool(page.troubles)
        for trouble in page.troubles:
            of = f" {trouble.event_id}" if trouble.event_id else ""
            came = trouble.received_at.ToJsonString()
            what = f"{trouble.problem.code} {describe(trouble.problem)}"
            typer.echo(f"delivery of {came}{of}: {what}", err=True)
        if not page.next_page_token:
            break
        request.page_token = page.next_page_token
        if sys.stderr.isatty():
            typer.echo(f"{totals['deliveries']:,} deliveries", err=True)
    if json_output:
        typer.echo(json.dumps(totals))
    else:
        typer.echo(", ".join(f"{name} {count:,}" for name, count in totals.items()))
    if troubled:
        raise typer.Exit(EXIT_REFUSED)


def _told(counts: pb.WebhookCounts) -> str:
    told = ((name, getattr(counts, name)) for name in COUNTS)
    return ", ".join(f"{count:,} {name}" for name, count in told if count) or "–"


def _print_done(what: str, webhook: pb.Webhook, *, json_output: bool) -> None:
    if json_output:
        typer.echo(json.dumps(_row(webhook)))
    else:
        typer.echo(f"{what} {webhook.webhook_id} of {webhook.source}")


def _row(webhook: pb.Webhook) -> dict[str, Any]:
    return {
        "webhook_id": webhook.webhook_id,
        "adapter": webhook.adapter,
        "source": webhook.source,
        "trust": events_pb2.Trust.Name(webhook.trust),
        "url": webhook.url,
        "config": json.loads(webhook.config_json),
        "with_api_key": webhook.with_api_key,
        "has_secret": webhook.has_secret,
        "created_at": webhook.created_at.ToJsonString(),
        "counts": {name: getattr(webhook.counts, name) for name in COUNTS},
    }
