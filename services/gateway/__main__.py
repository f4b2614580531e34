"""Runs the gateway: python -m services.gateway."""

from pathlib import Path

from grpc_health.v1 import health_pb2, health_pb2_grpc

from services.chassis import logs, settings, telemetry
from services.chassis.client import open_channel
from services.chassis.migrations import migrate
from services.chassis.postgres import open_pool, refuse_unsafe_library_mode
from services.chassis.server import Server, run_process
from services.gateway.access import Access
from services.gateway.http import Http
from services.gateway.keyring import Keyring
from services.gateway.servicer import IngestServicer, ScoringServicer
from services.gateway.settings import Settings
from services.gateway.upstream import Upstream
from touchledger.v1 import ingest_pb2_grpc, scoring_pb2_grpc

NAME = "gateway"
# Keys are looked up, and that seldom.
CONNECTIONS_MAX = 4
UPSTREAM_HEALTH_DEADLINE_SECONDS = 1.0


async def main() -> None:
    refuse_unsafe_library_mode()
    configured = settings.load(Settings)
    logs.configure(NAME)
    keyring = Keyring.read(configured.secret_key_file)
    tls = {
        "ca_file": configured.services_ca_file,
        "cert_file": configured.services_cert_file,
        "key_file": configured.services_key_file,
        "peers_secret_file": configured.peers_secret_file,
    }
    with telemetry.configured(NAME):
        async with (
            open_pool(configured, name=NAME, size_max=CONNECTIONS_MAX) as pool,
            open_channel(configured.touchpoint_target, **tls) as touchpoint,
            open_channel(configured.scoring_target, **tls) as scoring,
        ):
            await migrate(pool, Path(__file__).parent / "sql")
            access = Access(pool, keyring)
            if configured.local_key_file:
                await access.keep_local_key(configured.local_key_file)
            health = health_pb2_grpc.HealthStub(touchpoint)

            async def ready() -> str:
                """An ack needs keys and journal; questions alone are no reason to take publishers away."""
                if server.stopping.is_set():
                    return "stopping"
                await pool.fetchval("SELECT 1")
                answer = await health.Check(
                    health_pb2.HealthCheckRequest(), timeout=UPSTREAM_HEALTH_DEADLINE_SECONDS
                )
                serving = answer.status == health_pb2.HealthCheckResponse.SERVING
                return "" if serving else "touchpoint is not ready"

            server = Server(name=NAME, settings=configured, ready=ready, callers_have_keys=True)
            upstream = Upstream(touchpoint, keyring)
            ingest_pb2_grpc.add_IngestServiceServicer_to_server(
                IngestServicer(access, upstream), server.grpc
            )
            scoring_pb2_grpc.add_ScoringServiceServicer_to_server(
                ScoringServicer(access, scoring), server.grpc
            )
            http = Http(configured, access, upstream, ready)
            await server.run([http.run()], also_stop=[http.stop])


if __name__ == "__main__":
    run_process(main)
