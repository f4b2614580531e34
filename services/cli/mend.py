"""`touchledger mend`: after a restore, tells journal and read models so, and people what is lost.

`touchledger restore` does it by itself; this is for databases that another tool has restored. Each service
puts its own database right, by its own module.
"""

import json
import os
import subprocess
import sys
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from services.cli import system
from services.cli.data_folder import LaunchError

MEND_SECONDS_MAX = 3600.0
TOUCHPOINT_URL = "TOUCHLEDGER_TOUCHPOINT_DATABASE_URL"
SCORING_URL = "TOUCHLEDGER_SCORING_DATABASE_URL"


@dataclass(frozen=True, slots=True)
class Mended:
    """What the services' modules said: services/touchpoint/restored.py, services/scoring/restored.py."""

    journal: dict[str, Any]
    models: list[dict[str, Any]]

    def told(self) -> list[str]:
        position = self.journal["position"]
        lines = [
            f"Journal {self.journal['before']} is now {self.journal['journal_id']}",
            f"It ends at position {position:,}, recorded at {self.journal['recorded_at']}",
        ]
        for ahead in self.journal["ahead"]:
            lines.append(
                f"Lost: positions {position + 1:,} to {ahead['position']:,}, known to {ahead['who']}"
            )
        for model in self.models:
            lost = "of another journal"
            if model["first"] is not None:
                lost = f"with positions {model['first']:,} to {model['last']:,}, which are lost"
            lines.append(
                f"The {model['model']} read models were {lost}: the next start fills them anew"
            )
        return lines


def mend(
    touchpoint_url: Annotated[
        str,
        typer.Option(
            "--touchpoint-url",
            envvar=TOUCHPOINT_URL,
            metavar="URL",
            show_default=False,
            help="The journal's database, as the touchpoint service has it. The variable is better, or its "
            "file in TOUCHLEDGER_SECRETS_DIR: other users can see arguments.",
        ),
    ] = "",
    scoring_url: Annotated[
        str,
        typer.Option(
            "--scoring-url",
            envvar=SCORING_URL,
            metavar="URL",
            show_default=False,
            help="The read models' database, as the scoring service has it.",
        ),
    ] = "",
    checkpoint: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE|FOLDER", help="Exported checkpoints: they may know what is lost."
        ),
    ] = None,
    public_key: Annotated[
        Path | None, typer.Option(metavar="FILE", help="PEM file of the key of the checkpoints.")
    ] = None,
    json_output: system.JsonOption = False,
) -> None:
    """Give a journal that another tool has restored a new id, and put read models that are ahead right.

    Stop the services first; start them after.
    """
    try:
        known = [f"--checkpoint={checkpoint}"] if checkpoint else []
        known += [f"--public-key={public_key}"] if public_key else []
        done = mended(touchpoint_url, scoring_url, known=known)
    except LaunchError as error:
        system.stop(str(error), error.exit_code)
    if json_output:
        typer.echo(json.dumps({"journal": done.journal, "models": done.models}))
        return
    for line in done.told():
        typer.echo(line)


def mended(touchpoint_url: str, scoring_url: str, *, known: Sequence[str] = ()) -> Mended:
    """known: options that name exported checkpoints. Raises LaunchError with what a module said."""
    journal = module(
        "services.touchpoint.restored", "--json", *known, variables={TOUCHPOINT_URL: touchpoint_url}
    )
    models = module(
        "services.scoring.restored",
        *("--json", f"--journal={journal}"),
        variables={SCORING_URL: scoring_url},
    )
    return Mended(json.loads(journal), json.loads(models))


def module(
    name: str, *arguments: str, variables: Mapping[str, str], good: Collection[int] = (0,)
) -> str:
    """What a service's module prints. Raises LaunchError with what it said where that is no good end."""
    ended = subprocess.run(
        # -P: a folder `services` in the user's own is not ours.
        [sys.executable, "-P", "-m", name, *arguments],
        # What is not given, the module looks for in the folder of secrets.
        env={**os.environ, **{name: value for name, value in variables.items() if value}},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=MEND_SECONDS_MAX,
        check=False,
    )
    if ended.returncode not in good:
        # Its log comes before.
        said = ended.stderr.strip().rpartition("\n")[2].removeprefix("touchledger: ")
        raise LaunchError(said or f"{name} failed with exit code {ended.returncode}")
    return ended.stdout.strip()
