"""For programs with threads: `record` keeps an event on this machine, a thread publishes what is kept."""

import logging
import os
import threading
import time
from collections.abc import Callable, Sequence
from types import TracebackType

import grpc

from touchledger.v1 import events_pb2, ingest_pb2_grpc
from touchledger_client.delivery import Delivery, Next, Pace, Result, Status
from touchledger_client.gateway import Gateway
from touchledger_client.spool import Rejected, Spool, SpoolError, SpoolLimits

log = logging.getLogger("touchledger_client")

# How often the age of what waits is looked at while nothing else happens.
IDLE_SECONDS_MAX = 60.0
# How long `close` goes on publishing.
CLOSE_FLUSH_SECONDS = 5.0


class Client:
    """One for each spool file, opened after any fork. Its methods suit any thread and may raise SpoolError.

    on_result is called for each event that is settled, in order, by the sending thread, once the spool has
    let go of it: after a kill it is not called again. Sending waits for it, so let it be quick.
    """

    def __init__(
        self,
        gateway: Gateway,
        spool: str | os.PathLike[str],
        *,
        limits: SpoolLimits | None = None,
        pace: Pace | None = None,
        on_result: Callable[[Result], None] | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Raises SpoolInUse, SpoolCorrupt, or SpoolError. `clock` gives the seconds after 1970."""
        self._gateway = gateway
        self._on_result = on_result
        self._spool = Spool(spool, limits=limits, clock=clock)
        self._delivery = Delivery(self._spool, pace=pace, clock=clock)
        # Guards the next five, and tells of them.
        self._changed = threading.Condition()
        self._fresh = False
        self._urged = False
        self._stopping = False
        # The number of the first event of the batch whose results are not yet told.
        self._under_way: int | None = None
        self._call: grpc.Future | None = None
        # A daemon: a program that ends without `close` loses nothing, all is in the file.
        self._sender = threading.Thread(target=self._send, name="touchledger-sender", daemon=True)
        self._sender.start()

    def record(self, event: events_pb2.Event) -> str:
        """Returns the event's id once it is kept durably on this machine, without a word to the network."""
        return self.record_all([event])[0]

    def record_all(self, events: Sequence[events_pb2.Event]) -> list[str]:
        """Several events for one wait for the disk: all of them are kept, or none."""
        event_ids = self._spool.add(events)
        with self._changed:
            self._fresh = True
            self._changed.notify_all()
        return event_ids

    def flush(self, timeout_seconds: float) -> bool:
        """Waits until all that was recorded before is settled and told; False when that takes longer.

        Cuts a pause between two attempts short, unless the gateway has asked for it.
        """
        last = self._spool.last_number()
        with self._changed:
            self._urged = True
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._stopping or self._told(last), timeout_seconds)
            return self._told(last)

    def status(self) -> Status:
        return self._delivery.status()

    def rejected(self, events_max: int = 100) -> list[Rejected]:
        """The oldest rejected events that are kept, with the reason for each."""
        return self._spool.rejected(events_max)

    def forget_rejected(self, numbers: Sequence[int]) -> None:
        """Those that somebody has looked at."""
        self._spool.forget_rejected(numbers)

    def close(self, flush_seconds: float = CLOSE_FLUSH_SECONDS) -> None:
        """Goes on publishing for at most that long, then ends. What is left waits for the next start."""
        if self._stopping:
            return
        try:
            self.flush(flush_seconds)
        finally:
            with self._changed:
                self._stopping = True
                self._changed.notify_all()
                if self._call is not None:
                    self._call.cancel()
            self._sender.join()
            self._spool.close()

    def __enter__(self) -> "Client":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _send(self) -> None:
        while not self._stopping:
            with self._gateway.channel() as channel:
                self._send_on(ingest_pb2_grpc.IngestServiceStub(channel))

    def _send_on(self, stub: ingest_pb2_grpc.IngestServiceStub) -> None:
        """Until the connection seems broken, or the end."""
        while not self._stopping:
            self._fresh = False
            try:
                done = self._send_batch(stub)
            except SpoolError as error:
                done = self._delivery.disk_failed(error)
            if done is None:
                self._wait(lambda: self._fresh, IDLE_SECONDS_MAX)
                continue
            self._tell(done.results)
            self._pause(done)
            if done.reconnect:
                return

    def _send_batch(self, stub: ingest_pb2_grpc.IngestServiceStub) -> Next | None:
        """None when nothing waits."""
        batch = self._delivery.next_batch()
        if batch is None:
            return None
        self._under_way = batch.first_number
        request = self._delivery.request(batch)
        with self._changed:
            if self._stopping:
                return Next([])
            self._call = stub.PublishBatch.future(
                request,
                metadata=self._gateway.metadata,
                timeout=self._delivery.pace.call_seconds_max,
            )
        if self._call.code() is grpc.StatusCode.OK:
            return self._delivery.answered(batch, self._call.result())
        return Next([]) if self._stopping else self._delivery.failed(batch, self._call)

    def _pause(self, done: Next) -> None:
        self._wait(lambda: self._urged and not done.wait_is_due, done.wait_seconds)
        self._urged = False

    def _wait(self, until: Callable[[], bool], seconds: float) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._stopping or until(), seconds)

    def _told(self, number: int) -> bool:
        # In this order: a batch is under way before it leaves the spool.
        holds = self._spool.holds_up_to(number)
        return not holds and (self._under_way is None or self._under_way > number)

    def _tell(self, results: Sequence[Result]) -> None:
        if self._on_result is not None:
            for result in results:
                try:
                    self._on_result(result)
                except Exception as error:
                    # Theirs, not ours: the event is settled, and the others must not wait for it.
                    log.error("on_result raised %s", type(error).__name__)
        with self._changed:
            self._under_way = None
            self._changed.notify_all()
