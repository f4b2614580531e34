"""Runs the scoring service: python -m services.scoring."""

from pathlib import Path

from services.chassis import logs, settings, telemetry
from services.chassis.client import open_channel
from services.chassis.migrations import migrate
from services.chassis.postgres import open_pool, refuse_unsafe_library_mode
from services.chassis.server import Server, run_process
from services.scoring import bi_role
from services.scoring.answers import Answers
from services.scoring.projector import Projector
from services.scoring.scoreboard import Scoreboard
from services.scoring.servicer import ScoringServicer
from services.scoring.settings import Settings
from services.scoring.source import Source
from touchledger.v1 import scoring_pb2_grpc

NAME = "scoring"
# The projection and readiness have connections of their own, which no question can take.
PROJECTING_CONNECTIONS_MAX = 2
ANSWERING_CONNECTIONS_MAX = 6


async def main() -> None:
    refuse_unsafe_library_mode()
    configured = settings.load(Settings)
    logs.configure(NAME)
    with telemetry.configured(NAME):
        async with (
            open_pool(configured, name=NAME, size_max=PROJECTING_CONNECTIONS_MAX) as pool,
            open_pool(configured, name=NAME, size_max=ANSWERING_CONNECTIONS_MAX) as answering,
            open_channel(
                configured.journal_target,
                ca_file=configured.journal_ca_file,
                cert_file=configured.journal_cert_file,
                key_file=configured.journal_key_file,
                peers_secret_file=configured.peers_secret_file,
            ) as channel,
        ):
            await migrate(pool, Path(__file__).parent / "sql")
            scoreboard = Scoreboard(pool, reporting_zone=configured.reporting_zone)
            await scoreboard.install()
            await bi_role.admit(pool, role=configured.bi_role, tenant=configured.bi_tenant)

            source = Source(channel)
            projector = Projector(source, scoreboard)

            async def ready() -> str:
                """Questions can be answered without the journal, but not from the tables of another one."""
                await scoreboard.checkpoint()
                return projector.trouble

            server = Server(name=NAME, settings=configured, ready=ready)
            scoring_pb2_grpc.add_ScoringServiceServicer_to_server(
                ScoringServicer(Answers(answering, source), source), server.grpc
            )
            await server.run([projector.run()])


if __name__ == "__main__":
    run_process(main)
