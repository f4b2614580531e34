"""`touchledger demo`: starts the system, publishes a simulated quarter, shows the scores, serves on."""

import asyncio
from typing import Annotated

import grpc
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from services.cli import system, up
from services.cli.ask import DEADLINE_SECONDS
from services.cli.data_folder import DataFolder
from services.cli.launcher import Launcher, LauncherOptions
from services.cli.publisher import Stopped, pages_of, publish_all
from services.cli.scores import table
from services.cli.simulator import quarter
from touchledger.v1 import ingest_pb2, scoring_pb2
from touchledger.v1.ingest_pb2_grpc import IngestServiceStub
from touchledger.v1.scoring_pb2_grpc import ScoringServiceStub

# How soon the table is asked for again while the projection catches up.
CATCH_UP_POLL_SECONDS = 0.1
CATCH_UP_SECONDS_MAX = 60.0


def demo(
    data: system.DataOption = system.DEFAULT_DATA,
    seed: Annotated[int, typer.Option(help="Another seed, another quarter.")] = 1,
    exit_after: Annotated[
        bool, typer.Option("--exit", help="Stop after the table instead of serving on.")
    ] = False,
    grpc_port: up.GrpcPort = up.DEFAULTS.grpc_port,
    http_port: up.HttpPort = up.DEFAULTS.http_port,
    sql_port: up.SqlPort = up.DEFAULTS.sql_port,
    touchpoint_port: up.TouchpointPort = up.DEFAULTS.touchpoint_port,
    scoring_port: up.ScoringPort = up.DEFAULTS.scoring_port,
    reporting_zone: up.ReportingZone = up.DEFAULTS.reporting_zone,
    database_url: up.DatabaseUrl = "",
) -> None:
    """Start everything, publish a simulated quarter, show the scores, and keep serving."""
    options = LauncherOptions(
        grpc_port=grpc_port,
        http_port=http_port,
        sql_port=sql_port,
        touchpoint_port=touchpoint_port,
        scoring_port=scoring_port,
        reporting_zone=reporting_zone,
        database_url=database_url,
    )

    def work(launcher: Launcher) -> None:
        try:
            asyncio.run(_publish_and_show(system.find(data=data), seed))
        except (Stopped, TimeoutError) as error:
            # A service that died says more than the call that missed it.
            launcher.check()
            system.stop(str(error), system.EXIT_UNREACHABLE)

    up.serve(DataFolder(data), options, work, stay=not exit_after)


async def _publish_and_show(target: system.System, seed: int) -> None:
    events = list(quarter(seed=seed))
    console = Console()
    bar = Progress(
        TextColumn("publishing a simulated quarter"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=Console(stderr=True),
    )
    async with system.open_channel(target) as channel:
        with bar:
            task = bar.add_task("publish", total=len(events))
            tally = await publish_all(
                IngestServiceStub(channel),
                pages_of(events),
                metadata=target.metadata,
                on_progress=lambda tally: bar.update(task, completed=tally.settled_through),
            )
        told = ", ".join(
            f"{count:,} {ingest_pb2.Disposition.Name(disposition).removeprefix('DISPOSITION_')}"
            for disposition, count in sorted(tally.counts.items())
        )
        console.print(f"{len(events):,} events: {told}")
        async with asyncio.timeout(CATCH_UP_SECONDS_MAX):
            console.print(table(await _scores_when_caught_up(channel, target)))


async def _scores_when_caught_up(
    channel: grpc.aio.Channel, target: system.System
) -> scoring_pb2.GetScoresResponse:
    stub = ScoringServiceStub(channel)
    call = {"metadata": target.metadata, "timeout": DEADLINE_SECONDS}
    # The projection is another process: asking it is the only way to know.
    while (await stub.GetStatus(scoring_pb2.GetStatusRequest(), **call)).lag:  # noqa: ASYNC110
        await asyncio.sleep(CATCH_UP_POLL_SECONDS)
    answer: scoring_pb2.GetScoresResponse = await stub.GetScores(
        scoring_pb2.GetScoresRequest(), **call
    )
    return answer
