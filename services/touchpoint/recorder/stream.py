"""The stream as a recorder uses it: made where it is absent, read in order, emptied of what is recorded.

There are no consumers, which would have to know what is under way: what is recorded is purged, and so what
is in the stream is what is still to be recorded. A purge names a subject and a sequence, and a stream that is
made anew begins above all sequences of the one before.
"""

import asyncio
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple

import nats.errors
import structlog
from nats.aio.msg import Msg

from services.chassis import clock
from services.chassis.buffer import (
    STREAM,
    ApiError,
    Link,
    Shape,
    partitions_of,
    raise_if_cancelled,
    subjects_of,
)
from services.chassis.errors import Unavailable
from services.chassis.postgres import Unsuitable

log = structlog.get_logger()

# One read: what a commit takes well, and what lies in memory for a partition.
PAGE_BYTES_MAX = 1024 * 1024
PAGE_MESSAGES_MAX = 500
# A message may be as large as PAGE_BYTES_MAX allows one more, and the library drops what is over its bounds.
INBOX_BYTES_MAX = 4 * PAGE_BYTES_MAX
READ_SECONDS_MAX = 5.0
# JetStream's word for a stream of this name and another configuration.
NAME_IN_USE = 10058
# Of a status message, instead of one of the stream's.
END, NOTHING = "204", "404"


class Batch(NamedTuple):
    """A message of the stream."""

    subject: str
    sequence: int
    # Of the server's clock, RFC 3339.
    queued_at: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Page:
    """The first messages of a subject, or of several, in their order."""

    batches: list[Batch]
    # There are more of them.
    more: bool
    # Over which connection it was read.
    generation: int


class Stream:
    def __init__(self, link: Link, shape: Shape, *, change: bool = False) -> None:
        self._link = link
        self._shape = shape
        self._change = change
        # What was seen at the last look; nothing while there is no stream.
        self.state: Mapping[str, Any] = {}
        # Batches that were in a stream which is no more, as they were last seen.
        self.lost_batches = 0

    async def keep(self) -> None:
        """Makes the stream where there is none. Ends the process where it is not as told.

        Raises Unavailable and ApiError.
        """
        stream = await self._link.stream()
        if stream is None:
            self._note_loss()
            log.warning("buffer made", stream=STREAM, replicas=self._shape.replicas)
            config = self._shape.config(first_sequence=time.time_ns() // 1000)
            try:
                stream = await self._link.api("STREAM.CREATE", config)
            except ApiError as error:
                if error.code != NAME_IN_USE:
                    raise
                # Another recorder was first, or somebody with another idea of it: the next look tells.
                return
        faults = self._shape.faults(stream["config"])
        if faults and self._change:
            stream = await self._changed(stream)
            faults = self._shape.faults(stream["config"])
        if faults:
            raise Unsuitable(
                f"buffer: stream {STREAM}: {'; '.join(faults)}: change the settings, or the stream with "
                "TOUCHLEDGER_TOUCHPOINT_BUFFER_CHANGE=true"
            )
        self.state = stream["state"]

    def oldest_seconds(self) -> float:
        """How long the first message waits, as it was last seen."""
        if not self.state.get("messages"):
            return 0.0
        queued_at = datetime.fromisoformat(self.state["first_ts"])
        return max(0.0, (clock.now().ToDatetime(UTC) - queued_at).total_seconds())

    def _note_loss(self) -> None:
        if batches := self.state.get("messages", 0):
            log.error("buffer lost", batches=batches, bytes=self.state.get("bytes"))
            self.lost_batches += batches
        self.state = {}

    async def _changed(self, stream: Mapping[str, Any]) -> dict[str, Any]:
        partitions = partitions_of(stream["config"])
        if partitions != self._shape.partitions and stream["state"]["messages"]:
            raise Unsuitable(
                f"buffer: stream {STREAM}: got {partitions} partitions and "
                f"{stream['state']['messages']} batches, want it empty before there are "
                f"{self._shape.partitions}: order would be lost"
            )
        first = stream["config"].get("first_seq", 0)
        log.warning("buffer changed", stream=STREAM)
        return await self._link.api("STREAM.UPDATE", self._shape.config(first_sequence=first))

    async def look(self) -> dict[str, Any] | None:
        """Its configuration and state, with the number of messages on each subject. Raises Unavailable."""
        return await self._link.stream({"subjects_filter": subjects_of("*")})

    async def read(self, subject: str, *, after: int = 0) -> Page:
        """The first messages on it after a sequence. It may be several subjects. Raises Unavailable."""
        generation, client = self._link.generation, self._link.client
        inbox, batches = client.new_inbox(), list[Batch]()
        try:
            answers = await client.subscribe(
                inbox, pending_msgs_limit=PAGE_MESSAGES_MAX * 2, pending_bytes_limit=INBOX_BYTES_MAX
            )
            try:
                asked = {
                    "seq": after + 1,
                    "next_by_subj": subject,
                    "batch": PAGE_MESSAGES_MAX,
                    "max_bytes": PAGE_BYTES_MAX,
                }
                async with asyncio.timeout(READ_SECONDS_MAX):
                    await client.publish(
                        f"$JS.API.DIRECT.GET.{STREAM}", json.dumps(asked).encode(), reply=inbox
                    )
                    before = 0
                    while True:
                        message = await answers.next_msg(READ_SECONDS_MAX)
                        raise_if_cancelled()
                        headers = message.headers or {}
                        if status := headers.get("Status"):
                            break
                        batches.append(_batch(message, headers, before))
                        before = batches[-1].sequence
            finally:
                await answers.unsubscribe()
                raise_if_cancelled()
        except (OSError, TimeoutError, nats.errors.Error) as error:
            raise Unavailable("an answer of the buffer", got=type(error).__name__) from error
        if status not in (END, NOTHING):
            raise Unavailable(f"a page of the stream {STREAM}", got=f"status {status}")
        return Page(batches, int(headers.get("Nats-Num-Pending", 0)) > 0, generation)

    async def take_away(self, subject: str, *, up_to: int, generation: int) -> None:
        """What is recorded: messages on the subject up to a sequence. Raises Unavailable and ApiError.

        Nothing where the connection is another one since they were read: they are read again then, which is
        better than to trust that it leads to the same stream.
        """
        if generation != self._link.generation:
            raise Unavailable("the connection that it was read over")
        await self._link.api("STREAM.PURGE", {"filter": subject, "seq": up_to + 1})

    async def counts(self, subject: str) -> dict[str, int]:
        """How many messages there are on each subject of these."""
        stream = await self._link.stream({"subjects_filter": subject})
        return dict((stream or {}).get("state", {}).get("subjects") or {})


def _batch(message: Msg, headers: Mapping[str, str], before: int) -> Batch:
    """Raises Unavailable where one between this and the one before was lost on its way."""
    try:
        sequence, last = int(headers["Nats-Sequence"]), int(headers["Nats-Last-Sequence"])
        subject, queued_at = headers["Nats-Subject"], headers["Nats-Time-Stamp"]
    except (KeyError, ValueError):
        raise Unavailable("a message of the stream", got="something else") from None
    if last != before:
        raise Unavailable("all messages of a page", got="a gap")
    return Batch(subject, sequence, queued_at, message.data)
