"""GET /livez and /readyz: does the process turn, and could an event be stored now?"""

import asyncio
from collections.abc import Awaitable, Callable

from services.chassis.errors import translate
from services.gateway.http import Request, Response, Route

READY_SECONDS_MAX = 2.0


class HttpHealth:
    def __init__(self, ready: Callable[[], Awaitable[str]]) -> None:
        """`ready` returns why no event could be stored now, or "" when one could."""
        self._ready = ready

    def routes(self) -> list[Route]:
        return [
            Route(
                *("GET", "/livez", self._live),
                {
                    "summary": "Whether the process turns",
                    "responses": {"200": {"description": "It does."}},
                    "security": [],
                },
            ),
            Route(
                *("GET", "/readyz", self._readiness),
                {
                    "summary": "Whether an event could be stored now",
                    "responses": {
                        "200": {"description": "It could."},
                        "503": {"description": "It could not; status says why."},
                    },
                    "security": [],
                },
            ),
        ]

    async def _live(self, request: Request) -> Response:
        return Response.json({"status": "alive"})

    async def _readiness(self, request: Request) -> Response:
        reason = await self._unready()
        return Response.json({"status": reason or "ready"}, status=503 if reason else 200)

    async def _unready(self) -> str:
        try:
            async with asyncio.timeout(READY_SECONDS_MAX):
                return await self._ready()
        except Exception as error:
            told = translate(error, method="readyz")
            return str(told) if told else type(error).__name__
