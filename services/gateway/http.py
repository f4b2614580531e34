"""The gateway's HTTP port: events as JSON, liveness and readiness. Same rules, same verdicts as over gRPC."""

import asyncio
import contextlib
import json
import socket
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import structlog
from google.protobuf import json_format
from granian.constants import Interfaces, SSLProtocols
from granian.server.embed import Server

from services.chassis import telemetry
from services.chassis.errors import (
    Exhausted,
    Forbidden,
    Malformed,
    NotFound,
    ServiceError,
    Unauthenticated,
    translate,
)
from services.chassis.postgres import Unsuitable
from services.chassis.settings import is_loopback
from services.gateway.access import PUBLISH, Access
from services.gateway.servicer import BATCH_BYTES_MAX, check_count
from services.gateway.settings import Settings
from services.gateway.upstream import Upstream
from touchledger import event_json
from touchledger.v1 import ingest_pb2
from touchledger.v1.events_pb2 import Event
from touchledger.v1.problem_pb2 import Problem

log = structlog.get_logger()

# RFC 9110 codes of the errors; whatever may be repeated is 503 with Retry-After.
STATUS: dict[type[ServiceError], int] = {
    Malformed: 400,
    Unauthenticated: 401,
    Forbidden: 403,
    NotFound: 404,
}
# Told as 408 rather than 400.
SLOW = "REQUEST_TIMEOUT"
# A till on a bad line sends 4 MiB in less; a body that takes longer holds memory for nothing.
BODY_SECONDS_MAX = 20.0
# Bodies being read at once: 64 of 4 MiB are what this process can hold.
BODIES_MAX = 64
READY_SECONDS_MAX = 2.0


class Http:
    def __init__(
        self,
        settings: Settings,
        access: Access,
        upstream: Upstream,
        ready: Callable[[], Awaitable[str]],
    ) -> None:
        self._served = asyncio.Event()
        self._bodies = 0
        self._access = access
        self._upstream = upstream
        self._ready = ready
        host, _, port = settings.http_listen.rpartition(":")
        tls = settings.tls_cert_file and settings.tls_key_file
        if not (tls or settings.tls_in_front or is_loopback(settings.http_listen)):
            raise Unsuitable(
                f"gateway: http_listen: got {settings.http_listen} without tls_cert_file and "
                "tls_key_file, want loopback, a certificate, or tls_in_front"
            )
        _claim(host.strip("[]"), int(port))
        self._server = Server(
            self._answer,
            address=host.strip("[]"),
            port=int(port),
            interface=Interfaces.RSGI,
            websockets=False,
            log_enabled=False,
            # Tills live long.
            ssl_protocol_min=SSLProtocols.tls12,
            ssl_cert=settings.tls_cert_file if tls else None,
            ssl_key=settings.tls_key_file if tls else None,
        )

    async def run(self) -> None:
        """Serves until `stop` or cancelled."""
        try:
            await self._server.serve()
        finally:
            self._served.set()

    async def stop(self, grace_seconds: float) -> None:
        """Takes no more requests, and lets those under way end."""
        self._server.stop()  # type: ignore[no-untyped-call]  # granian says no type
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(grace_seconds):
                await self._served.wait()

    async def _answer(self, scope: Any, protocol: Any) -> None:
        method, path = scope.method, scope.path
        with telemetry.server_span(f"{method} {path}", dict(scope.headers.items())) as span:
            try:
                status, answer = await self._route(scope, protocol)
            except Exception as error:
                status, answer = _refusal(error, path)
            span.set_attribute("http.response.status_code", status)
        kind = (
            "application/json" if status < 400 or "status" in answer else "application/problem+json"
        )
        headers = [("content-type", kind)]
        if "retry_after" in answer:
            headers.append(("retry-after", str(answer["retry_after"])))
        protocol.response_bytes(status, headers, json.dumps(answer).encode())

    async def _route(self, scope: Any, protocol: Any) -> tuple[int, dict[str, Any]]:
        match scope.method, scope.path:
            case "GET", "/livez":
                return 200, {"status": "alive"}
            case "GET", "/readyz":
                reason = await self._unready()
                return (503, {"status": reason}) if reason else (200, {"status": "ready"})
            case "POST", "/v1/events":
                return await self._publish(scope, protocol)
        raise NotFound(
            "POST /v1/events, GET /livez or GET /readyz", got=f"{scope.method} {scope.path}"
        )

    async def _unready(self) -> str:
        try:
            async with asyncio.timeout(READY_SECONDS_MAX):
                return await self._ready()
        except Exception as error:
            told = translate(error, method="readyz")
            return str(told) if told else type(error).__name__

    async def _publish(self, scope: Any, protocol: Any) -> tuple[int, dict[str, Any]]:
        """One event, an array, or one event a line; answers one result for each, in order."""
        authorization = scope.headers.get("authorization") or ""
        caller = await self._access.admit([("authorization", authorization)], PUBLISH)
        read = _read(await self._body(protocol), scope.headers.get("content-type") or "")
        check_count(len(read))
        events = [each for each in read if isinstance(each, Event)]
        results = iter(await self._upstream.publish(caller, events, ingest_pb2.Attempt()))
        told = [
            next(results)
            if isinstance(each, Event)
            else ingest_pb2.PublishResult(disposition=ingest_pb2.DISPOSITION_REJECTED, problem=each)
            for each in read
        ]
        return 200, json_format.MessageToDict(ingest_pb2.PublishBatchResponse(results=told))

    async def _body(self, protocol: Any) -> bytes:
        """The body, read no further than what a batch may be, and for no longer than it may take."""
        if self._bodies >= BODIES_MAX:
            raise Exhausted("fewer requests at once", got=f"{self._bodies}")
        self._bodies += 1
        chunks, size = [], 0
        try:
            async with asyncio.timeout(BODY_SECONDS_MAX):
                async for chunk in protocol:
                    size += len(chunk)
                    if size > BATCH_BYTES_MAX:
                        raise Malformed(
                            f"at most {BATCH_BYTES_MAX} bytes",
                            code="TOO_LARGE",
                            field="body",
                            got="more",
                        )
                    chunks.append(chunk)
        except TimeoutError:
            raise Malformed(
                f"the whole body within {BODY_SECONDS_MAX:.0f} s",
                code=SLOW,
                field="body",
                got=f"{size} bytes",
            ) from None
        finally:
            self._bodies -= 1
        return b"".join(chunks)


def _read(body: bytes, content_type: str) -> list[Event | Problem]:
    if content_type.startswith(("application/x-ndjson", "application/jsonl")):
        return [_event(event_json.parse, line) for line in body.splitlines() if line.strip()]
    try:
        document = event_json.decode(body)
    except event_json.EventJsonError as error:
        # Nobody can say how many events this was meant to be.
        told = error.problem
        raise Malformed(told.want, code=told.code, field="body", got=told.got) from None
    items = document if isinstance(document, list) else [document]
    return [_event(event_json.read, item) for item in items]


def _event(read: Callable[[Any], Event], given: Any) -> Event | Problem:
    try:
        return read(given)
    except event_json.EventJsonError as error:
        return error.problem


def _refusal(error: Exception, path: str) -> tuple[int, dict[str, Any]]:
    """RFC 9457 problem details."""
    told = translate(error, method=path)
    if told is None:
        log.error("unexpected", method=path, error=type(error).__name__)
        return 500, {
            "title": grpc.StatusCode.INTERNAL.name,
            "detail": "the service's log tells more",
        }
    details = json_format.MessageToDict(told.problem, preserving_proto_field_name=True)
    details.pop("retryable", None)
    if told.retryable:
        details["retry_after"] = max(1, round(told.problem.retry_after.ToNanoseconds() / 1e9))
    status = 408 if told.problem.code == SLOW else STATUS.get(type(told), 503)
    return status, {"title": told.problem.code, "detail": str(told), **details}


def _claim(host: str, port: int) -> None:
    """Ends the process when the port is taken: the server would share it with whoever has it."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        # A port that waits for its last packets is free; one that is listened on is not.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            raise Unsuitable(f"gateway: can't listen on {host}:{port}, want a free port") from None
