"""Runs the scoring service: python -m services.scoring."""

import gc
import os
import socket
from functools import partial

from services.chassis import logs, settings, telemetry
from services.chassis.client import open_channel
from services.chassis.postgres import open_pool, refuse_unsafe_library_mode
from services.chassis.server import Server, run_process
from services.scoring import bi_role, lease
from services.scoring.alerts.back_test import BackTests
from services.scoring.alerts.board import Board
from services.scoring.alerts.delivery import Delivery
from services.scoring.alerts.points import Points
from services.scoring.alerts.rules import Rules
from services.scoring.alerts.servicer import AlertServicer
from services.scoring.alerts.watch import Watch
from services.scoring.alerts.webhook_post import read_webhooks
from services.scoring.answers import Answers
from services.scoring.experience.servicer import ExperienceServicer
from services.scoring.lease import Lease
from services.scoring.migrate import prepare
from services.scoring.models import LIVE, NEXT
from services.scoring.projection_health import ProjectionHealth
from services.scoring.projections import Projections, next_may_reach
from services.scoring.projections_servicer import ProjectionServicer
from services.scoring.projector import Projector
from services.scoring.scoreboard import Scoreboard
from services.scoring.servicer import ScoringServicer
from services.scoring.settings import Settings
from services.scoring.source import Source
from services.scoring.watch import Watches
from touchledger.v1 import (
    alerts_pb2_grpc,
    experience_pb2_grpc,
    projections_pb2_grpc,
    scoring_pb2_grpc,
)

NAME = "scoring"
COLLECT_AFTER_OBJECTS = 50_000
# The projections and readiness have connections of their own, which no question can take.
PROJECTING_CONNECTIONS_MAX = 2
# A comparison keeps one for as long as it takes.
CHANGING_CONNECTIONS_MAX = 4
ANSWERING_CONNECTIONS_MAX = 6
# One each to keep the lease, to judge, to deliver, for what is asked of all facts twice, and for the rest.
ALERTING_CONNECTIONS_MAX = 6


async def main() -> None:
    refuse_unsafe_library_mode()
    configured = settings.load(Settings)
    logs.configure(NAME)
    pool = partial(open_pool, configured, name=NAME)
    projecting = partial(pool, size_max=PROJECTING_CONNECTIONS_MAX)
    with telemetry.configured(NAME, configured):
        async with (
            projecting(search_path=LIVE.search_path) as live_pool,
            projecting(search_path=NEXT.search_path) as next_pool,
            pool(size_max=CHANGING_CONNECTIONS_MAX) as changing,
            pool(size_max=ANSWERING_CONNECTIONS_MAX, search_path=LIVE.search_path) as answering,
            pool(size_max=ALERTING_CONNECTIONS_MAX, search_path=LIVE.search_path) as alerting,
            open_channel(
                configured.journal_target,
                ca_file=configured.journal_ca_file,
                cert_file=configured.journal_cert_file,
                key_file=configured.journal_key_file,
                peers_secret_file=configured.peers_secret_file,
            ) as channel,
        ):
            await prepare(live_pool)
            scoreboard = Scoreboard(live_pool, reporting_zone=configured.reporting_zone)
            rebuilt = Scoreboard(next_pool, model=NEXT, reporting_zone=configured.reporting_zone)
            await scoreboard.install()
            if await next_may_reach(next_pool) is not None:
                await rebuilt.install()
            await bi_role.admit(live_pool, role=configured.bi_role, tenant=configured.bi_tenant)

            source = Source(channel)
            owner = f"{socket.gethostname()}:{os.getpid()}"
            projector = Projector(source, scoreboard, Lease(live_pool, lease.LIVE, owner=owner))
            rebuilder = Projector(
                source,
                rebuilt,
                Lease(next_pool, lease.NEXT, owner=owner),
                limit=partial(next_may_reach, next_pool),
            )
            projections = Projections(changing, source, owner=owner)

            async def ready() -> str:
                """Questions can be answered without the journal, but not from the tables of another one."""
                await scoreboard.checkpoint()
                return projector.trouble

            server = Server(name=NAME, settings=configured, ready=ready)
            answers = Answers(answering, source)
            watches = Watches(answers, server.refusing)
            scoring_pb2_grpc.add_ScoringServiceServicer_to_server(
                ScoringServicer(answers, source, watches), server.grpc
            )
            projections_pb2_grpc.add_ProjectionServiceServicer_to_server(
                ProjectionServicer(projections, source), server.grpc
            )
            experience_pb2_grpc.add_ExperienceServiceServicer_to_server(
                ExperienceServicer(answers), server.grpc
            )
            webhooks = read_webhooks(configured.alert_webhooks_file)
            points = Points(alerting)
            rules = Rules(alerting, points)
            delivery = Delivery(
                alerting, webhooks, private_addresses=configured.alert_webhooks_private_addresses
            )
            alerts = Watch(
                *(alerting, rules, points),
                owner=owner,
                delivered=webhooks.keys(),
                duties=[delivery.run],
            )
            alerts_pb2_grpc.add_AlertServiceServicer_to_server(
                AlertServicer(
                    *(rules, Board(alerting), BackTests(points, rules)),
                    stopping=server.refusing,
                    delivered=webhooks.keys(),
                ),
                server.grpc,
            )
            # A page makes some hundred thousand objects that live until it is written: looking through all of
            # them again and again took a third of the time of reading it.
            gc.freeze()
            gc.set_threshold(COLLECT_AFTER_OBJECTS)
            checks = ProjectionHealth(
                projections, server.health, lag_seconds_max=configured.lag_seconds_max
            )
            following = [projector.run(), rebuilder.run(), projections.measure()]
            pools = (live_pool, next_pool, changing, answering, alerting)
            await server.run(
                [*following, checks.run(), alerts.run()],
                cut_off=[each.terminate for each in pools],
            )


if __name__ == "__main__":
    run_process(main)
