"""A tenant that posts single events over HTTP at a calm rate, again where it is told to come back.

Runs as a process of its own and prints what came of it as one JSON object. A latency is from the moment that
a post was due, so that whatever holds it up counts.
"""

import argparse
import asyncio
import json
import os
from dataclasses import asdict, dataclass, field
from time import perf_counter

import uvloop

from bench import http_client
from bench.events import made
from bench.published import as_json
from tests.overload.flood import KEY_VARIABLE

POSTS_PER_SECOND = 50
# Above what is ever under way: one that waits for a connection counts as waiting.
CONNECTIONS = 32
POST_SECONDS_MAX = 20.0
# Event numbers of a run.
RUN_EVENTS = 1_000_000


@dataclass(slots=True)
class Outcome:
    latencies_ms: list[float] = field(default_factory=list)
    recorded: int = 0
    refused: int = 0
    refused_without_hint: int = 0


async def run(options: argparse.Namespace) -> Outcome:
    outcome, key = Outcome(), os.environ[KEY_VARIABLE]
    count = int(options.seconds * POSTS_PER_SECOND)
    first = options.source * RUN_EVENTS
    headers = ("Authorization", f"Bearer {key}"), ("Content-Type", "application/json")
    requests = [
        http_client.post("/v1/events", as_json(event).encode(), *headers)
        for event in made(range(first, first + count))
    ]
    async with http_client.connections(options.target, CONNECTIONS) as connections:
        free = asyncio.Queue[http_client.Connection]()
        for connection in connections:
            free.put_nowait(connection)

        async def post(request: bytes, due: float) -> None:
            async with asyncio.timeout(POST_SECONDS_MAX):
                while True:
                    connection = await free.get()
                    status, body = await connection.send(request)
                    free.put_nowait(connection)
                    answer = json.loads(body)
                    if status == 200:
                        break
                    outcome.refused += 1
                    if status not in (429, 503) or "retry_after" not in answer:
                        outcome.refused_without_hint += 1
                    await asyncio.sleep(answer.get("retry_after", 1))
            outcome.latencies_ms.append((perf_counter() - due) * 1000)
            [result] = answer["results"]
            outcome.recorded += result["disposition"].endswith("RECORDED")

        began = perf_counter()
        async with asyncio.TaskGroup() as tasks:
            for number, request in enumerate(requests):
                due = began + number / POSTS_PER_SECOND
                await asyncio.sleep(max(0.0, due - perf_counter()))
                tasks.create_task(post(request, due))
    return outcome


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("target")
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--source", type=int, required=True, help="runs never share an event id")
    print(json.dumps(asdict(uvloop.run(run(parser.parse_args())))))


if __name__ == "__main__":
    main()
