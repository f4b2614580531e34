"""A till: records numbered events through the client, and notes each one that it was told is kept.

python till.py GATEWAY SPOOL BOOK EVENTS CLOCK_OFFSET_SECONDS     with the key in TOUCHLEDGER_KEY

Event n is of device n modulo DEVICES. The till names the events of all devices but the last itself, so that
it can record again what it does not know to be kept; those of the last are named by the client.
The book gets one line for each: number, id. A till that is started again goes on behind its last line.
"""

import json
import random
import sys
import time
from dataclasses import asdict
from pathlib import Path

from google.protobuf.timestamp_pb2 import Timestamp
from touchledger_client import Client, Gateway, Pace

from touchledger.v1 import events_pb2

DEVICES = 3
CHUNK_MAX = 20
FLUSH_SECONDS = 120.0
# In 2019, years before the clock that the gateway goes by.
OPENED_AT = 1_546_300_800
# Shorter than in a shop, where nobody waits for the end of a test.
PACE = Pace(call_seconds_max=5.0, backoff_seconds=0.1, backoff_seconds_max=0.5)


def sale(number: int) -> events_pb2.Event:
    """The same each time that it is made, or it would be another event under the same id."""
    device = number % DEVICES
    return events_pb2.Event(
        event_id="" if device == DEVICES - 1 else f"till-{device}-{number:06}",
        occurred_at=Timestamp(seconds=OPENED_AT + number),
        touchpoint="store.checkout",
        place=events_pb2.Place(device=f"till-{device}"),
        attributes={"number": str(number)},
        interaction=events_pb2.Interaction(
            stage=events_pb2.STAGE_PURCHASE, channel=events_pb2.CHANNEL_STORE
        ),
    )


def noted(book: Path) -> list[tuple[int, str]]:
    """Number and id of each event in the book; a line that is half written, or cut off by a kill, is none."""
    text = book.read_text() if book.exists() else ""
    lines = text[: text.rfind("\n") + 1].splitlines()
    return [(int(number), event_id) for number, event_id in map(str.split, lines)]


def main() -> None:
    target, spool, named, events, offset = sys.argv[1:]
    book = Path(named)
    before = noted(book)
    number = before[-1][0] + 1 if before else 0
    book.write_text("".join(f"{each} {event_id}\n" for each, event_id in before))
    to = Gateway(target, clear_text=True)

    def clock() -> float:
        return time.time() + float(offset)

    with Client(to, spool, pace=PACE, clock=clock) as client, book.open("a") as out:
        while number < int(events):
            chunk = range(number, min(number + random.randint(1, CHUNK_MAX), int(events)))
            event_ids = client.record_all([sale(each) for each in chunk])
            lines = zip(chunk, event_ids, strict=True)
            out.write("".join(f"{each} {event_id}\n" for each, event_id in lines))
            out.flush()
            number = chunk.stop
        flushed = client.flush(FLUSH_SECONDS)
        counts = asdict(client.status().counts)
    strangers = sorted({name for name in sys.modules if name.split(".")[0] == "services"})
    print(json.dumps({"flushed": flushed, "strangers": strangers, **counts}))


if __name__ == "__main__":
    main()
