"""The command line: `touchledger COMMAND`, one file each."""

import importlib
import sys

import typer
from typer._click.core import Command, Context
from typer.core import TyperGroup
from typer.main import get_command, get_group

from services.cli.system import EXIT_USAGE

# services/cli/COMMAND.py has either a function of that name or, with commands of its own, an `app`.
COMMANDS = (
    "up",
    "demo",
    "publish",
    "replay",
    "scores",
    "series",
    "bridge",
    "lineage",
    "journey",
    "status",
    "verify",
    "backup",
    "restore",
    "mend",
    "alert",
    "bi",
    "buffer",
    "case",
    "cluster",
    "key",
    "projection",
    "quarantine",
    "report",
    "webhook",
)
# What Python makes of bytes in an argument that are no UTF-8.
UNREADABLE = frozenset(map(chr, range(0xDC80, 0xDD00)))


class Commands(TyperGroup):
    """Imports the command that is asked for: all of them together take longer than most take to run."""

    def list_commands(self, ctx: Context) -> list[str]:
        return [*COMMANDS]

    def get_command(self, ctx: Context, cmd_name: str) -> Command | None:
        if cmd_name in COMMANDS:
            return _imported(cmd_name)
        # What is like it is suggested from these alone.
        self.commands.update((each, _imported(each)) for each in COMMANDS)
        return None


def _imported(name: str) -> Command:
    module = importlib.import_module(f"services.cli.{name}")
    if hasattr(module, "app"):
        return get_group(module.app)
    alone = typer.Typer(add_completion=False)
    alone.command()(getattr(module, name))
    return get_command(alone)


app = typer.Typer(
    name="touchledger",
    cls=Commands,
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
)


@app.callback()
def touchledger() -> None:
    """Records every customer interaction, and tells satisfaction per touchpoint."""


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
