"""Channels to the other services: every replica in turn, repeated where that is safe, traced."""

import json
from pathlib import Path

import grpc

from services.chassis import rpc_telemetry
from services.chassis.peers import ShowsOnCalls, ShowsOnStreams, read_secret
from services.chassis.server import MESSAGE_BYTES_MAX

# Every call that services make of each other is safe to repeat, so a replica that dies under a call costs
# a retry and no error. The sum of the waits stays below a second.
SERVICE_CONFIG = {
    "loadBalancingConfig": [{"round_robin": {}}],
    # A replica that drains, or has lost its database, is left out as long as it says so.
    "healthCheckConfig": {"serviceName": ""},
    "methodConfig": [
        {
            "name": [{}],
            "retryPolicy": {
                "maxAttempts": 4,
                "initialBackoff": "0.05s",
                "maxBackoff": "0.4s",
                "backoffMultiplier": 3,
                # CANCELLED is what gRPC makes of a call that a server had taken when it stopped.
                "retryableStatusCodes": ["UNAVAILABLE", "CANCELLED"],
            },
        }
    ],
}


def open_channel(
    target: str,
    *,
    ca_file: Path | None = None,
    cert_file: Path | None = None,
    key_file: Path | None = None,
    peers_secret_file: Path | None = None,
) -> grpc.aio.Channel:
    """A channel to "HOST:PORT", "dns:///NAME:PORT" or "ipv4:HOST:PORT,HOST:PORT"; TLS where a CA is given."""
    options = [
        ("grpc.service_config", json.dumps(SERVICE_CONFIG)),
        ("grpc.max_receive_message_length", MESSAGE_BYTES_MAX),
        ("grpc.max_send_message_length", MESSAGE_BYTES_MAX),
        # A peer that vanished without a word is noticed within 30 seconds.
        ("grpc.keepalive_time_ms", 20_000),
        ("grpc.keepalive_timeout_ms", 10_000),
        # A replica that came back is found within a second rather than the default's two minutes.
        ("grpc.max_reconnect_backoff_ms", 1_000),
        ("grpc.dns_min_time_between_resolutions_ms", 1_000),
    ]
    interceptors = rpc_telemetry.interceptors(target)
    if peers_secret_file is not None:
        secret = read_secret(peers_secret_file)
        interceptors += [ShowsOnCalls(secret), ShowsOnStreams(secret)]
    if ca_file is None:
        return grpc.aio.insecure_channel(target, options=options, interceptors=interceptors)
    credentials = grpc.ssl_channel_credentials(
        root_certificates=ca_file.read_bytes(),
        private_key=key_file.read_bytes() if key_file else None,
        certificate_chain=cert_file.read_bytes() if cert_file else None,
    )
    return grpc.aio.secure_channel(target, credentials, options=options, interceptors=interceptors)
