"""Runs the touchpoint service: python -m services.touchpoint."""

import asyncio

from services.chassis import logs, settings, telemetry
from services.chassis.postgres import (
    confirm,
    durability_gaps,
    open_pool,
    refuse_unsafe_library_mode,
)
from services.chassis.server import Server, run_process
from services.touchpoint.cases_servicer import RecoveryCaseServicer
from services.touchpoint.catalog_servicer import TouchpointCatalogServicer
from services.touchpoint.checkpoint import Exporter
from services.touchpoint.decisions.decisions import Decisions
from services.touchpoint.journal import Journal
from services.touchpoint.measures import measures
from services.touchpoint.migrate import prepare
from services.touchpoint.recorder.process import Recorder
from services.touchpoint.recorder.servicer import BufferServicer
from services.touchpoint.recovery.process import RecoveryProcess
from services.touchpoint.servicer import JournalServicer
from services.touchpoint.settings import Settings
from touchledger.v1 import buffer_pb2_grpc, cases_pb2_grpc, catalog_pb2_grpc, journal_pb2_grpc

NAME = "touchpoint"
# A commit of nothing takes milliseconds; below READINESS_DEADLINE_SECONDS, so that the reason is told.
CONFIRM_SECONDS_MAX = 1.5
# One connection appends, one follows recoveries; the others read.
CONNECTIONS_MAX = 8
# The append lock is held for milliseconds; a wait this long means that its holder hangs.
LOCK_TIMEOUT = "5s"


async def main() -> None:
    refuse_unsafe_library_mode()
    configured = settings.load(Settings)
    logs.configure(NAME)
    with telemetry.configured(NAME, configured):
        async with open_pool(
            configured, name=NAME, size_max=CONNECTIONS_MAX, lock_timeout=LOCK_TIMEOUT
        ) as pool:
            await prepare(pool)

            async def ready() -> str:
                gaps = await durability_gaps(pool)
                try:
                    # An ack is possible when a commit is answered, on a standby that each one waits for.
                    async with asyncio.timeout(CONFIRM_SECONDS_MAX):
                        await confirm(pool)
                except TimeoutError:
                    return "no commit is answered: is the synchronous standby there?"
                return "" if configured.unsafe_durability else ", ".join(gaps)

            server = Server(name=NAME, settings=configured, ready=ready)
            journal = await Journal.open(pool, stopping=server.stopping)
            journal_pb2_grpc.add_JournalServiceServicer_to_server(
                JournalServicer(journal), server.grpc
            )
            decisions = Decisions(journal, pool)
            catalog_pb2_grpc.add_TouchpointCatalogServiceServicer_to_server(
                TouchpointCatalogServicer(decisions, journal_id=journal.journal_id), server.grpc
            )
            cases_pb2_grpc.add_RecoveryCaseServiceServicer_to_server(
                RecoveryCaseServicer(decisions, journal_id=journal.journal_id), server.grpc
            )
            exporters = Exporter.configured(pool, configured)
            recorders = Recorder.configured(journal, pool, configured, stopping=server.stopping)
            buffer_pb2_grpc.add_BufferServiceServicer_to_server(
                BufferServicer(journal, next(iter(recorders), None)), server.grpc
            )
            recoveries = RecoveryProcess.configured(journal, decisions, pool, configured)
            beside = [*(each.run() for each in exporters), *(each.run() for each in recoveries)]
            beside += [each.run() for each in recorders]
            await server.run(
                [*beside, measures(pool, recovery=configured.recovery).run()],
                cut_off=[pool.terminate],
            )


if __name__ == "__main__":
    run_process(main)
