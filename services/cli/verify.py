"""`touchledger verify`: proves the journal untouched or names where it is not; proves single events.

Finds the database and becomes `python -m services.touchpoint.verify`, which does the work.
"""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from services.cli.system import (
    DEFAULT_DATA,
    EXIT_UNREACHABLE,
    DataOption,
    NoSystem,
    owner_url,
    stop,
)

URL_VARIABLE = "TOUCHLEDGER_TOUCHPOINT_DATABASE_URL"


def verify(
    data: DataOption = DEFAULT_DATA,
    database_url: Annotated[
        str | None,
        typer.Option(
            "--database-url",
            envvar=URL_VARIABLE,
            metavar="URL",
            help="The journal's database, of a system that runs elsewhere; goes before --data. The "
            "variable is better: other users can see arguments.",
        ),
    ] = None,
    json_output: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
    checkpoint: Annotated[
        Path | None,
        typer.Option(metavar="FILE|FOLDER", help="Exported checkpoints: want the same journal."),
    ] = None,
    public_key: Annotated[
        Path | None, typer.Option(metavar="FILE", help="PEM file of the key of the checkpoints.")
    ] = None,
    restored_from: Annotated[
        list[str] | None,
        typer.Option(metavar="JOURNAL_ID", help="Take checkpoints of this journal, too."),
    ] = None,
    event: Annotated[
        str | None, typer.Option(metavar="ID", help="Print the proof of this event, as JSON.")
    ] = None,
    tenant: Annotated[str, typer.Option(help="Whose event it is.")] = "default",
    source: Annotated[str, typer.Option(help="Who published the event.")] = "local",
    position: Annotated[
        int | None, typer.Option(min=1, help="Print the proof of the event at this position.")
    ] = None,
) -> None:
    """Check every event against the seal of its commit, and the seals against each other.

    Exit code: 0 all fit, 1 not and the first position is named, 2 a file
    can't be used, 3 the database can't be reached.
    """
    try:
        url = database_url or owner_url(
            data, "touchpoint", otherwise=", or name a database with --database-url"
        )
    except NoSystem as error:
        stop(str(error), EXIT_UNREACHABLE)
    given: dict[str, object] = {
        "--checkpoint": checkpoint,
        "--public-key": public_key,
        "--event": event,
        "--tenant": tenant,
        "--source": source,
        "--position": position,
    }
    # Joined, so that an id which begins with a hyphen is no option.
    arguments = [f"{name}={value}" for name, value in given.items() if value is not None]
    arguments += [f"--restored-from={each}" for each in restored_from or ()]
    if json_output:
        arguments.append("--json")
    # -P: a folder `services` in the user's own is not ours.
    command = [sys.executable, "-P", "-m", "services.touchpoint.verify", *arguments]
    # In its place rather than beside it: terminal, signals and exit code are its own.
    os.execve(sys.executable, command, {**os.environ, URL_VARIABLE: url})
