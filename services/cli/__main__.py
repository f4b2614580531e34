"""The command line: `touchledger COMMAND`, one file each."""

import typer

from services.cli.alert import app as alert
from services.cli.bi import app as bi
from services.cli.demo import demo
from services.cli.key import app as key
from services.cli.projection import app as projection
from services.cli.publish import publish
from services.cli.quarantine import app as quarantine
from services.cli.replay import replay
from services.cli.scores import scores
from services.cli.status import status
from services.cli.up import up
from services.cli.verify import verify
from services.cli.webhook import app as webhook

app = typer.Typer(
    name="touchledger",
    help="Records every customer interaction, and tells satisfaction per touchpoint.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
)
for command in (up, demo, publish, replay, scores, status, verify):
    app.command()(command)
app.add_typer(alert)
app.add_typer(bi)
app.add_typer(key)
app.add_typer(projection)
app.add_typer(quarantine)
app.add_typer(webhook)


def main() -> None:
    app()


if __name__ == "__main__":
    main()
