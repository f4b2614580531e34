"""A tenant that publishes batches at a rate, whatever it is answered, or as fast as it is answered.

Runs as a process of its own and prints what came of it as one JSON object.
"""

import argparse
import asyncio
import json
import os
from collections.abc import Awaitable
from dataclasses import asdict, dataclass, field
from time import perf_counter, time

import grpc
import uvloop
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from bench.events import made
from bench.published import batch_as_protobuf
from bench.stores.gateway import PUBLISH_BATCH
from touchledger.v1 import ingest_pb2

# The environment, since other users can see arguments.
KEY_VARIABLE = "TOUCHLEDGER_KEY"
BATCH_EVENTS = 500
# What publishers that don't wait for each other keep under way at the peak.
AT_ONCE = 8
# What a flood has under way at most: 30 MB. What is beyond is not offered, and told.
UNDER_WAY_MAX = 256
CHANNELS = 4
CALL_SECONDS_MAX = 20.0
TICK_SECONDS = 0.005
# The flood comes from elsewhere: where it shares the machine, the services go first.
NICE = 5
# Stand in the template's ids, in place of the milliseconds and of the batch's number.
MILLISECONDS, NUMBER = b"tttttttt-tttt", b"nnnnnnnn"


@dataclass(slots=True)
class Outcome:
    """In events, but for the refusals, which are calls."""

    seconds: float = 0.0
    offered: int = 0
    not_offered: int = 0
    recorded: int = 0
    refused_calls: int = 0
    refused_without_hint: int = 0
    failed_calls: dict[str, int] = field(default_factory=dict)


class Batches:
    """Batches of events that nobody has seen, and those that were refused, which are as good as new."""

    def __init__(self, source: int) -> None:
        events = [
            event._replace(id=f"tttttttt-tttt-7{index:03x}-a{source:03x}-nnnnnnnn{index:04x}")
            for index, event in enumerate(made(range(BATCH_EVENTS)))
        ]
        self._template = batch_as_protobuf(events)
        self._next_number = 0
        self.refused = list[bytes]()

    def next(self) -> bytes:
        if self.refused:
            return self.refused.pop()
        now = f"{int(time() * 1000):012x}"
        self._next_number += 1
        return self._template.replace(MILLISECONDS, f"{now[:8]}-{now[8:]}".encode()).replace(
            NUMBER, f"{self._next_number:08x}".encode()
        )


class Flood:
    def __init__(self, channels: list[grpc.aio.Channel], key: str, source: int) -> None:
        self._publish = [channel.unary_unary(PUBLISH_BATCH) for channel in channels]
        self._metadata = (("authorization", f"Bearer {key}"),)
        self._batches = Batches(source)
        self._calls = 0
        self._under_way = set[asyncio.Task[None]]()
        self.outcome = Outcome()

    async def as_answered(self, seconds: float) -> None:
        """The peak: the next batch as soon as one is answered."""
        ends = perf_counter() + seconds

        async def publish() -> None:
            while perf_counter() < ends:
                await self._call()

        async def publish_at_once() -> None:
            await asyncio.gather(*(publish() for _ in range(AT_ONCE)))

        await self._timed(publish_at_once())

    async def at(self, events_per_second: float, seconds: float) -> None:
        async def offer() -> None:
            began, due = perf_counter(), 0
            while (passed := perf_counter() - began) < seconds:
                while due * BATCH_EVENTS < passed * events_per_second:
                    due += 1
                    if len(self._under_way) >= UNDER_WAY_MAX:
                        self.outcome.not_offered += BATCH_EVENTS
                        continue
                    task = asyncio.create_task(self._call())
                    self._under_way.add(task)
                    task.add_done_callback(self._under_way.discard)
                await asyncio.sleep(TICK_SECONDS)

        await self._timed(offer())
        await asyncio.gather(*self._under_way)

    async def _timed(self, work: Awaitable[None]) -> None:
        began = perf_counter()
        await work
        self.outcome.seconds = perf_counter() - began

    async def _call(self) -> None:
        batch, outcome = self._batches.next(), self.outcome
        self._calls += 1
        outcome.offered += BATCH_EVENTS
        publish = self._publish[self._calls % len(self._publish)]
        try:
            answer = await publish(batch, metadata=self._metadata, timeout=CALL_SECONDS_MAX)
        except grpc.aio.AioRpcError as error:
            if error.code() in (
                grpc.StatusCode.RESOURCE_EXHAUSTED,
                grpc.StatusCode.UNAVAILABLE,
            ):
                outcome.refused_calls += 1
                outcome.refused_without_hint += not _has_hint(error)
            else:
                name = error.code().name
                outcome.failed_calls[name] = outcome.failed_calls.get(name, 0) + 1
            # Whether it is stored or not: the same events again are no others.
            self._batches.refused.append(batch)
            return
        for result in ingest_pb2.PublishBatchResponse.FromString(answer).results:
            outcome.recorded += result.disposition == ingest_pb2.DISPOSITION_RECORDED


def _has_hint(error: grpc.aio.AioRpcError) -> bool:
    status = rpc_status.from_call(error)
    details = status.details if status else ()
    return any(detail.Is(error_details_pb2.RetryInfo.DESCRIPTOR) for detail in details)


async def run(options: argparse.Namespace) -> Outcome:
    channels = [
        grpc.aio.insecure_channel(options.target, options=[("grpc.use_local_subchannel_pool", 1)])
        for _ in range(CHANNELS)
    ]
    flood = Flood(channels, os.environ[KEY_VARIABLE], options.source)
    if options.rate:
        await flood.at(options.rate, options.seconds)
    else:
        await flood.as_answered(options.seconds)
    for channel in channels:
        await channel.close()
    return flood.outcome


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("target")
    parser.add_argument("--rate", type=float, default=0.0, help="events a second; 0: as answered")
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--source", type=int, required=True, help="runs never share an event id")
    options = parser.parse_args()
    os.nice(NICE)
    print(json.dumps(asdict(uvloop.run(run(options)))))


if __name__ == "__main__":
    main()
