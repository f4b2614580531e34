"""The gateway's HTTP port: routes, bounded requests, errors as RFC 9457 problems.

What the routes do is said where they are: http_events.py, cloudevents.py, beacon.py, http_health.py, docs.py
and whoever else has `routes()`.
"""

import asyncio
import contextlib
import json
import math
import re
import resource
import socket
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

import structlog
from granian.constants import Interfaces, SSLProtocols
from granian.http import HTTP1Settings, HTTP2Settings
from granian.server.embed import Server
from opentelemetry import trace

from services.chassis import telemetry
from services.chassis.errors import (
    Conflict,
    Corrupt,
    Exhausted,
    Forbidden,
    Malformed,
    NotFound,
    ServiceError,
    Unauthenticated,
    Unavailable,
    describe,
    place_of,
    translate,
)
from services.chassis.postgres import Unsuitable
from services.chassis.settings import is_loopback
from services.gateway.http_body import Bodies, Body
from services.gateway.limits import Inflating
from services.gateway.settings import Settings
from touchledger.v1.problem_pb2 import Problem

log = structlog.get_logger()

# RFC 9110 codes of the errors.
STATUS: dict[type[ServiceError], int] = {
    Malformed: 400,
    Unauthenticated: 401,
    Forbidden: 403,
    NotFound: 404,
    Conflict: 409,
    Exhausted: 429,
    Corrupt: 500,
    Unavailable: 503,
}
# Problems that HTTP has a code of its own for.
STATUS_OF_CODE = {
    "METHOD_NOT_ALLOWED": 405,
    "REQUEST_TIMEOUT": 408,
    "TOO_LARGE": 413,
    "UNSUPPORTED_MEDIA_TYPE": 415,
    "UNSUPPORTED_ENCODING": 415,
}
# From the first byte of a request to the end of its headers. A connection that never sends one is the
# kernel's to end, which takes hours: what faces strangers needs a proxy in front (README).
HEADER_MS_MAX = 10_000
# All headers together; gRPC's side takes 8 KiB. hyper answers 431 by itself.
HEADER_BYTES_MAX = 16 * 1024
# Connections at once, each a file descriptor and some 20 KB; others wait in the kernel's queue.
CONNECTIONS_MAX = 4096
CONNECTIONS_WAITING_MAX = 1024
# Of one HTTP/2 connection.
STREAMS_MAX = 100
QUERY_FIELDS_MAX = 128
PROBLEM = ("content-type", "application/problem+json")
JSON = ("content-type", "application/json")


class Request:
    """One request. Headers are looked up in lower case: `request.headers.get("content-type")`."""

    __slots__ = (
        "_body",
        "_query_string",
        "answer_headers",
        "headers",
        "method",
        "path",
        "variables",
    )

    def __init__(self, scope: Any, body: Body, variables: Mapping[str, str]) -> None:
        self.method: str = scope.method
        self.path: str = scope.path
        self.headers = scope.headers
        self.variables = variables
        # What goes with the answer whatever it is, a refusal too.
        self.answer_headers: list[tuple[str, str]] = []
        self._query_string: str = scope.query_string
        self._body = body

    @property
    def query_pairs(self) -> list[tuple[str, str]]:
        """The parameters as they came; one may come more than once."""
        if not self._query_string:
            return []
        try:
            return parse_qsl(
                self._query_string, keep_blank_values=True, max_num_fields=QUERY_FIELDS_MAX
            )
        except ValueError:
            raise Malformed(
                f"at most {QUERY_FIELDS_MAX} parameters", code="TOO_MANY", field="query", got="more"
            ) from None

    @property
    def query(self) -> dict[str, str]:
        pairs = self.query_pairs
        query = dict(pairs)
        if len(query) != len(pairs):
            raise Malformed(
                "each parameter once", code="DUPLICATE_KEY", field="query", got="one twice"
            )
        return query

    def query_of(self, *names: str) -> dict[str, str]:
        """The query, where another parameter than these is refused: a slip would be lost in silence."""
        query = self.query
        for name in query:
            if name not in names:
                raise Malformed(
                    f"of {', '.join(names)}" if names else "no parameters",
                    code="UNKNOWN_FIELD",
                    field="query",
                    got="a parameter of another name",
                )
        return query

    async def body(self, *, bytes_max: int, inflating: Inflating) -> bytes:
        """The body, inflated as Content-Encoding says, neither larger nor slower than bounds allow."""
        return await self._body.read(self.headers, bytes_max=bytes_max, inflating=inflating)

    async def raw_body(self, *, bytes_max: int) -> bytes:
        """The body as it came over the wire, which is what signatures are of."""
        return await self._body.read_raw(self.headers, bytes_max=bytes_max)


# They come each second or so, and would bury the rest.
PROBES = ("/livez", "/readyz")
answered = telemetry.duration_histogram(
    "http.server.request.duration", "How long requests over HTTP took."
)


@dataclass(slots=True)
class Response:
    status: int
    body: bytes = b""
    headers: list[tuple[str, str]] = field(default_factory=list)

    @classmethod
    def json(
        cls, document: object, *, status: int = 200, headers: Sequence[tuple[str, str]] = ()
    ) -> "Response":
        return cls(status, json.dumps(document).encode(), [JSON, *headers])


@dataclass(frozen=True, slots=True)
class Route:
    """What answers a method on a path. Parts of a path in braces are the request's variables.

    operation: how the OpenAPI document tells of it, less what openapi.py adds to all.
    """

    method: str
    path: str
    handler: Callable[[Request], Awaitable[Response]]
    operation: Mapping[str, object]


class Http:
    def __init__(
        self,
        settings: Settings,
        *,
        routes: Sequence[Route],
        stopping: asyncio.Event,
    ) -> None:
        """stopping: when set, clients are told to go on with another connection, thus another gateway."""
        self._served = asyncio.Event()
        self._stopping = stopping
        self._bodies = Bodies()
        self._routes = Routes(routes)
        self._measured = telemetry.measured()
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
            backlog=CONNECTIONS_WAITING_MAX,
            backpressure=_connections_max(),
            http1_settings=HTTP1Settings(
                header_read_timeout=HEADER_MS_MAX, max_buffer_size=HEADER_BYTES_MAX
            ),
            http2_settings=HTTP2Settings(
                max_headers_size=HEADER_BYTES_MAX,
                max_concurrent_streams=STREAMS_MAX,
                keep_alive_interval=HEADER_MS_MAX,
            ),
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
        route, variables = self._routes.find(scope.method, scope.path)
        # A span costs as much as half of the answer, so none is made that nobody gets.
        asked = self._measured and not (route and route.path in PROBES)
        if asked or scope.headers.get("traceparent"):
            response = await self._observed(route, variables, scope, protocol)
        else:
            response = await self._handle(route, variables, scope, protocol)
        if self._stopping.is_set() and scope.http_version.startswith("1"):
            response.headers.append(("connection", "close"))
        if scope.method == "HEAD":
            response.headers.append(("content-length", f"{len(response.body)}"))
            protocol.response_empty(response.status, response.headers)
        else:
            protocol.response_bytes(response.status, response.headers, response.body)

    async def _observed(
        self, route: Route | None, variables: Mapping[str, str], scope: Any, protocol: Any
    ) -> Response:
        # Of a path nothing but its route: others may hold what only a webhook's sender is to know.
        told: dict[str, str | int] = {"http.request.method": "_OTHER", "url.scheme": scope.scheme}
        if route:
            told |= {"http.request.method": scope.method, "http.route": route.path}
        began = time.perf_counter()
        name = f"{scope.method} {route.path}" if route else "HTTP"
        with telemetry.server_span(name, dict(scope.headers.items()), told) as span:
            response = await self._handle(route, variables, scope, protocol)
            outcome: dict[str, str | int] = {"http.response.status_code": response.status}
            if response.status >= 500:
                outcome["error.type"] = str(response.status)
                span.set_status(trace.StatusCode.ERROR)
            span.set_attributes(outcome)
        answered.record(time.perf_counter() - began, told | outcome)
        return response

    async def _handle(
        self, route: Route | None, variables: Mapping[str, str], scope: Any, protocol: Any
    ) -> Response:
        body = Body(protocol, self._bodies)
        request = Request(scope, body, variables)
        try:
            response = await self._respond(route, request)
            if response.status >= 400:
                await body.discard(scope.headers)
        finally:
            body.release()
        response.headers += request.answer_headers
        return response

    async def _respond(self, route: Route | None, request: Request) -> Response:
        if route is None:
            return self._routes.refusal(request.method, request.path)
        try:
            return await route.handler(request)
        except Exception as error:
            return refusal(error, path=request.path, method=f"{request.method} {route.path}")


class Routes:
    """Finds the route of a request. A literal path wins over one with variables."""

    def __init__(self, routes: Sequence[Route]) -> None:
        self._literal: dict[str, dict[str, Route]] = {}
        self._patterns: dict[str, tuple[re.Pattern[str], dict[str, Route]]] = {}
        for route in routes:
            if "{" in route.path:
                # The last variable takes all that is left: a slash in it came as %2F, which is decoded here.
                pattern = re.sub(r"\\{(\w+)\\}$", r"(?P<\1>.+)", re.escape(route.path))
                pattern = re.sub(r"\\{(\w+)\\}", r"(?P<\1>[^/]+)", pattern)
                _, methods = self._patterns.setdefault(route.path, (re.compile(pattern), {}))
            else:
                methods = self._literal.setdefault(route.path, {})
            methods[route.method] = route
            if route.method == "GET":
                methods["HEAD"] = route
        self._told = [f"{route.method} {route.path}" for route in routes]

    def find(self, method: str, path: str) -> tuple[Route | None, Mapping[str, str]]:
        methods, variables = self._methods(path)
        return methods.get(method), variables

    def refusal(self, method: str, path: str) -> Response:
        """What is said where `find` found nothing."""
        methods, _ = self._methods(path)
        if not methods:
            error: ServiceError = NotFound(
                f"one of {', '.join(self._told)}", field="path", got=f"{method} {path[:80]}"
            )
            return refusal(error, path=path)
        allowed = ", ".join(methods)
        error = Malformed(allowed, code="METHOD_NOT_ALLOWED", field="method", got=method)
        return refusal(error, path=path, headers=[("allow", allowed)])

    def _methods(self, path: str) -> tuple[Mapping[str, Route], Mapping[str, str]]:
        literal = self._literal.get(path)
        if literal is not None:
            return literal, {}
        for pattern, methods in self._patterns.values():
            if match := pattern.fullmatch(path):
                return methods, match.groupdict()
        return {}, {}


def refusal(
    error: Exception, *, path: str, method: str = "", headers: Sequence[tuple[str, str]] = ()
) -> Response:
    """The problem document of an error, with Retry-After where it makes sense to come again.

    method: what the log says of it, which has no place for what a path may hold.
    """
    told = translate(error, method=method)
    if told is None:
        # The text of an exception may quote a payload.
        log.error("unexpected", method=method, error=type(error).__name__, where=place_of(error))
        problem = Problem(code="INTERNAL", want="a working gateway; its log tells more")
        return problem_response(500, problem, path=path, headers=headers)
    status = STATUS_OF_CODE.get(told.problem.code) or STATUS[type(told)]
    return problem_response(status, told.problem, path=path, headers=headers)


def problem_response(
    status: int,
    problem: Problem,
    *,
    path: str,
    headers: Sequence[tuple[str, str]] = (),
    **members: object,
) -> Response:
    """RFC 9457 problem details with field, got and want as further members.

    Its type leads to the docs page, which says what the code means.
    """
    document: dict[str, object] = {
        "type": f"/docs#{problem.code}",
        "title": problem.code,
        "status": status,
        "detail": describe(problem),
        "instance": path,
        "code": problem.code,
        "field": problem.field,
        "got": problem.got,
        "want": problem.want,
        **members,
    }
    if not problem.retryable:
        return Response(status, json.dumps(document).encode(), [PROBLEM, *headers])
    # Whole seconds is what Retry-After can say.
    document["retry_after"] = max(1, math.ceil(problem.retry_after.ToNanoseconds() / 1e9))
    retry_after = ("retry-after", str(document["retry_after"]))
    return Response(status, json.dumps(document).encode(), [PROBLEM, retry_after, *headers])


def _connections_max() -> int:
    """Half of the files that this process may open, at most: the database and gRPC need theirs."""
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return CONNECTIONS_MAX if files == resource.RLIM_INFINITY else min(CONNECTIONS_MAX, files // 2)


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
