"""The command line: `touchledger COMMAND`, one file each."""

import sys

import typer

from services.cli.alert import app as alert
from services.cli.backup import backup
from services.cli.bi import app as bi
from services.cli.bridge import bridge
from services.cli.buffer import app as buffer
from services.cli.case import app as case
from services.cli.cluster import app as cluster
from services.cli.demo import demo
from services.cli.journey import journey
from services.cli.key import app as key
from services.cli.lineage import lineage
from services.cli.mend import mend
from services.cli.projection import app as projection
from services.cli.publish import publish
from services.cli.quarantine import app as quarantine
from services.cli.replay import replay
from services.cli.report import app as report
from services.cli.restore import restore
from services.cli.scores import scores
from services.cli.series import series
from services.cli.status import status
from services.cli.system import EXIT_USAGE
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
# What Python makes of bytes in an argument that are no UTF-8.
UNREADABLE = frozenset(map(chr, range(0xDC80, 0xDD00)))
for command in (
    up,
    demo,
    publish,
    replay,
    scores,
    series,
    bridge,
    lineage,
    journey,
    status,
    verify,
    backup,
    restore,
    mend,
):
    app.command()(command)
app.add_typer(alert)
app.add_typer(bi)
app.add_typer(buffer)
app.add_typer(case)
app.add_typer(cluster)
app.add_typer(key)
app.add_typer(projection)
app.add_typer(quarantine)
app.add_typer(report)
app.add_typer(webhook)


def main() -> None:
    try:
        app()
    except UnicodeEncodeError:
        # A path may be of any bytes; what goes into a message can't.
        if all(each.isascii() or UNREADABLE.isdisjoint(each) for each in sys.argv):
            raise
        typer.echo("touchledger: got an argument of other bytes, want text in UTF-8", err=True)
        sys.exit(EXIT_USAGE)


if __name__ == "__main__":
    main()
