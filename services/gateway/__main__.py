"""Runs the gateway: python -m services.gateway."""

from grpc_health.v1 import health_pb2, health_pb2_grpc

from services.chassis import logs, settings, telemetry
from services.chassis.buffer import Link
from services.chassis.client import open_channel
from services.chassis.postgres import open_pool, refuse_unsafe_library_mode
from services.chassis.server import Server, run_process
from services.gateway.access import METHODS, Access
from services.gateway.beacon import HttpBeacon
from services.gateway.buffer import Buffer
from services.gateway.cloudevents import HttpCloudEvents
from services.gateway.deliveries import Deliveries
from services.gateway.docs import HttpDocs
from services.gateway.early_refusal import EarlyRefusal
from services.gateway.forwarding import SCORING_SERVICES, TOUCHPOINT_SERVICES, Forwarding
from services.gateway.http import Http
from services.gateway.http_events import HttpEvents, HttpPublisher
from services.gateway.http_health import HttpHealth
from services.gateway.http_outcomes import HttpOutcomes
from services.gateway.http_scores import HttpScores
from services.gateway.http_webhooks import HttpWebhooks
from services.gateway.keyring import Keyring
from services.gateway.keys_servicer import KeyServicer
from services.gateway.limits import Limits
from services.gateway.mapper import Mapper
from services.gateway.measures import measures
from services.gateway.migrate import prepare
from services.gateway.outcomes import Outcomes
from services.gateway.quarantine import Quarantine
from services.gateway.quarantine_servicer import QuarantineServicer
from services.gateway.refused import RefusedEvents
from services.gateway.segment_http import HttpSegment
from services.gateway.servicer import IngestServicer
from services.gateway.settings import Settings
from services.gateway.upstream import Upstream
from services.gateway.webhooks import Webhooks
from services.gateway.webhooks_servicer import WebhookServicer
from touchledger.v1 import (
    ingest_pb2_grpc,
    keys_pb2_grpc,
    quarantine_pb2_grpc,
    webhooks_pb2_grpc,
)

NAME = "gateway"
# Keys are looked up, and that seldom; bad events are kept over one connection, and read over another.
CONNECTIONS_MAX = 8
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
    with telemetry.configured(NAME, configured):
        async with (
            open_pool(configured, name=NAME, size_max=CONNECTIONS_MAX) as pool,
            open_channel(configured.touchpoint_target, **tls) as touchpoint,
            open_channel(configured.scoring_target, **tls) as scoring,
        ):
            await prepare(pool)
            access = Access(pool, keyring)
            if configured.local_key_file:
                await access.keep_local_key(configured.local_key_file)
            health = health_pb2_grpc.HealthStub(touchpoint)
            link = buffer = None
            if configured.buffer:
                link = Link(
                    configured.buffer,
                    name=NAME,
                    ca_file=configured.services_ca_file,
                    cert_file=configured.services_cert_file,
                    key_file=configured.services_key_file,
                )
                buffer = Buffer(link, keyring, replicas=configured.buffer_replicas)

            async def ready() -> str:
                """An ack needs keys, and the journal or what is in front of it.

                Questions alone are no reason to take publishers away.
                """
                if server.stopping.is_set():
                    return "stopping"
                await pool.fetchval("SELECT 1")
                if buffer is not None:
                    return buffer.ready()
                answer = await health.Check(
                    health_pb2.HealthCheckRequest(), timeout=UPSTREAM_HEALTH_DEADLINE_SECONDS
                )
                serving = answer.status == health_pb2.HealthCheckResponse.SERVING
                return "" if serving else "touchpoint is not ready"

            limits = Limits(configured, pool)
            server = Server(
                name=NAME,
                settings=configured,
                ready=ready,
                callers_have_keys=True,
                interceptors=[EarlyRefusal(access, limits)],
            )
            quarantine = Quarantine(pool, keyring)
            upstream = Upstream(touchpoint, keyring, quarantine)
            # What waits in this gateway's database anyway, such as deliveries, goes to the journal.
            outcomes = Outcomes(touchpoint, keyring, buffer)
            publishing = Upstream(touchpoint, keyring, quarantine, buffer)
            ingest_pb2_grpc.add_IngestServiceServicer_to_server(
                IngestServicer(access, limits, publishing, outcomes), server.grpc
            )
            keys_pb2_grpc.add_KeyServiceServicer_to_server(
                KeyServicer(access, limits, pool, keyring), server.grpc
            )
            quarantine_pb2_grpc.add_QuarantineServiceServicer_to_server(
                QuarantineServicer(access, limits, quarantine, upstream), server.grpc
            )
            webhooks = Webhooks(pool, keyring)
            deliveries = Deliveries(pool, keyring)
            mapper = Mapper(webhooks, deliveries, upstream, quarantine)
            webhooks_pb2_grpc.add_WebhookServiceServicer_to_server(
                WebhookServicer(access, limits, webhooks, mapper), server.grpc
            )
            forwarding = Forwarding(access, limits, keyring, refusing=server.refusing)
            for service in TOUCHPOINT_SERVICES:
                forwarding.add(service, touchpoint, server.grpc)
            for service in SCORING_SERVICES:
                forwarding.add(service, scoring, server.grpc)
            server.reflect({method.split("/")[1] for method in METHODS})
            publisher = HttpPublisher(access, limits, publishing)
            routes = [
                *HttpHealth(ready).routes(),
                *HttpEvents(publisher).routes(),
                *HttpOutcomes(access, limits, outcomes).routes(),
                *HttpCloudEvents(publisher).routes(),
                *HttpBeacon(access, publisher).routes(),
                *HttpSegment(access, limits, publishing, pool).routes(),
                *HttpWebhooks(access, limits, webhooks, deliveries, mapper).routes(),
                *HttpScores(access, limits, forwarding, scoring).routes(),
            ]
            routes += HttpDocs(routes).routes()
            http = Http(configured, routes=routes, stopping=server.stopping)
            await server.run(
                [
                    *(http.run(), limits.run(), quarantine.run(), deliveries.run(), mapper.run()),
                    measures(pool).run(),
                    RefusedEvents(touchpoint, quarantine).run(),
                    *(each.run() for each in (link, buffer) if each is not None),
                ],
                also_stop=[http.stop],
                cut_off=[pool.terminate],
            )


if __name__ == "__main__":
    run_process(main)
