"""The journal as persistence of the eventsourcing library: PERSISTENCE_MODULE=services.touchpoint.library.

An ordinary Application keeps its aggregates in the journal, between the events of everybody else: stored by
the journal's own writer, at dense positions, sealed. The variables are read as the library reads them, with
or without the application's name in front (ACCOUNTS_TOUCHLEDGER_SOURCE); JournalFactory lists them.

A tenant's streams can be read and continued by the tenant's applications alone. Notifications and snapshots
are of one tenant and source: an application follows its own events, though other positions lie between.
"""

import hashlib
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from threading import Event
from types import TracebackType
from typing import Any, TypeVar
from uuid import UUID

import asyncpg
from eventsourcing import persistence
from eventsourcing.persistence import Notification, StoredEvent, Tracking
from eventsourcing.utils import Environment, EnvType, resolve_topic, strtobool

from services.chassis.postgres import Connection
from services.touchpoint.append_request import (
    EVENT_BYTES_MAX,
    NAME_CHARACTERS_MAX,
    TENANT_CHARACTERS_MAX,
)
from services.touchpoint.appender import Also
from services.touchpoint.journal import POLL_SECONDS, Filter, Journal
from services.touchpoint.journal_thread import JournalThread
from services.touchpoint.row import Attempt, Entry, encode

T = TypeVar("T")
R = TypeVar("R", bound="JournalRecorder")

VERSION_MAX = 2**63 - 1
# What a subscription has read and its consumer has not taken yet.
NOTIFICATIONS_AHEAD_MAX = 500

# Backwards from the head to the source's last event: it costs what others have stored since.
LAST_NOTIFICATION = """
SELECT notification_id
  FROM journal.stored_events
 WHERE tenant = $1 AND source = $2
 ORDER BY notification_id DESC
 LIMIT 1
"""
EVENTS = """
SELECT originator_id, originator_version, topic, state
  FROM journal.stored_events
 WHERE tenant = $1 AND originator_id = $2 AND originator_version > $3 AND originator_version <= $4
 ORDER BY originator_version
 LIMIT $5
"""
EVENTS_BACKWARDS = """
SELECT originator_id, originator_version, topic, state
  FROM journal.stored_events
 WHERE tenant = $1 AND originator_id = $2 AND originator_version > $3 AND originator_version <= $4
 ORDER BY originator_version DESC
 LIMIT $5
"""
SNAPSHOTS = """
SELECT originator_id, originator_version, topic, state
  FROM journal.library_snapshots
 WHERE tenant = $1 AND source = $2
   AND originator_id = $3 AND originator_version > $4 AND originator_version <= $5
 ORDER BY originator_version
 LIMIT $6
"""
SNAPSHOTS_BACKWARDS = """
SELECT originator_id, originator_version, topic, state
  FROM journal.library_snapshots
 WHERE tenant = $1 AND source = $2
   AND originator_id = $3 AND originator_version > $4 AND originator_version <= $5
 ORDER BY originator_version DESC
 LIMIT $6
"""
STORE_SNAPSHOT = """
INSERT INTO journal.library_snapshots (tenant, source, originator_id, originator_version, topic, state)
VALUES ($1, $2, $3, $4, $5, $6)
"""
# No row where the projection was there already: another process runs it too, or it was given an event twice.
TRACK = """
INSERT INTO journal.library_tracking AS tracked (tenant, projection, application_name, notification_id)
VALUES ($1, $2, $3, $4)
ON CONFLICT (tenant, projection, application_name)
    DO UPDATE SET notification_id = excluded.notification_id
        WHERE tracked.notification_id < excluded.notification_id
RETURNING notification_id
"""
LAST_TRACKED = """
SELECT notification_id
  FROM journal.library_tracking
 WHERE tenant = $1 AND projection = $2 AND application_name = $3
"""


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose events, snapshots and tracking a recorder reads and writes."""

    tenant: str
    source: str
    # The application's or projection's name: tracking is kept under it.
    name: str


class JournalRecorder(persistence.Recorder):
    """What the recorders share: they can be made again, and used by several threads at once."""

    def __init__(self, journal: JournalThread, owner: Owner) -> None:
        self._journal = journal
        self._owner = owner


class JournalApplicationRecorder(JournalRecorder, persistence.ApplicationRecorder):
    """The events of one source, and the streams of its tenant."""

    def insert_events(
        self, stored_events: Sequence[StoredEvent], **kwargs: Any
    ) -> Sequence[int] | None:
        if kwargs.get("tracking") is not None:
            raise persistence.ProgrammingError("tracking: got some, want a process recorder for it")
        return self._store(stored_events, None)

    def _store(self, stored_events: Sequence[StoredEvent], also: Also | None) -> list[int]:
        attempt = Attempt(
            tenant=self._owner.tenant,
            source=self._owner.source,
            received_at=None,
            sent_at=None,
            traceparent="",
        )
        rows = encode(attempt, map(_entry, stored_events))
        results = self._journal.call(lambda journal: journal.decide(rows, also=also))
        with self._journal.appended:
            self._journal.appended.notify_all()
        return [result.position for result in results]

    def select_events(
        self,
        originator_id: UUID | str,
        *,
        gt: int | None = None,
        lte: int | None = None,
        desc: bool = False,
        limit: int | None = None,
    ) -> Sequence[StoredEvent]:
        events = self._journal.fetch(
            EVENTS_BACKWARDS if desc else EVENTS,
            self._owner.tenant,
            _uuid(originator_id),
            -1 if gt is None else gt,
            VERSION_MAX if lte is None else lte,
            limit,
        )
        return [StoredEvent(*event) for event in events]

    def select_notifications(
        self,
        start: int | None,
        limit: int,
        stop: int | None = None,
        topics: Sequence[str] = (),
        *,
        inclusive_of_start: bool = True,
    ) -> Sequence[Notification]:
        after = 0 if start is None else max(start - 1 if inclusive_of_start else start, 0)

        async def read(journal: Journal) -> list[Notification]:
            found, reached = list[Notification](), after
            head = await journal.head()
            to = head if stop is None else min(stop, head)
            while reached < to and len(found) < limit:
                page = await journal.read(
                    reached, to=to, limit=limit - len(found), wanted=self._wanted(topics)
                )
                found += map(_notification, page.events)
                reached = page.scanned_to
            return found

        return self._journal.read(read)

    def max_notification_id(self) -> int | None:
        last = self._journal.fetch(LAST_NOTIFICATION, self._owner.tenant, self._owner.source)
        return last[0]["notification_id"] if last else None

    def subscribe(self, gt: int | None = None, topics: Sequence[str] = ()) -> "JournalSubscription":
        return JournalSubscription(self, gt=gt, topics=topics)

    def next_notifications(
        self, after: int, topics: Sequence[str]
    ) -> tuple[list[Notification], int]:
        """What follows a position, up to a bound, and up to where it was looked for."""

        async def read(journal: Journal) -> tuple[list[Notification], int]:
            head = await journal.head()
            if after > head:
                raise persistence.OperationalError(
                    f"the position to follow: got {after}, want at most {head}, where the journal ends: "
                    "it was restored to an earlier time"
                )
            page = await journal.read(
                after, to=0, limit=NOTIFICATIONS_AHEAD_MAX, wanted=self._wanted(topics)
            )
            return list(map(_notification, page.events)), page.scanned_to

        return self._journal.read(read)

    def wait_for_events(self, stopped: Event) -> None:
        """Returns when there may be more, or when `stopped` is set."""
        with self._journal.appended:
            if not stopped.is_set():
                self._journal.appended.wait(POLL_SECONDS)

    def wake_waiting(self) -> None:
        with self._journal.appended:
            self._journal.appended.notify_all()

    def _wanted(self, topics: Sequence[str]) -> Filter:
        return Filter(tuple(topics), self._owner.tenant, self._owner.source)


class JournalSubscription(persistence.Subscription[JournalApplicationRecorder]):
    """Reads first and waits then, never longer than POLL_SECONDS: no event depends on a wake-up."""

    def __init__(
        self,
        recorder: JournalApplicationRecorder,
        gt: int | None = None,
        topics: Sequence[str] = (),
    ) -> None:
        super().__init__(recorder, gt, topics)
        self._scanned_to = gt or 0
        self._ahead = deque[Notification]()
        self._stopped = Event()

    def stop(self) -> None:
        """From any thread; the one that waits for a notification gets StopIteration."""
        super().stop()
        self._stopped.set()
        self._recorder.wake_waiting()

    def __next__(self) -> Notification:
        while not self._stopped.is_set():
            if self._ahead:
                return self._ahead.popleft()
            before = self._scanned_to
            notifications, self._scanned_to = self._recorder.next_notifications(
                before, self._topics
            )
            self._ahead.extend(notifications)
            if self._scanned_to == before:
                self._recorder.wait_for_events(self._stopped)
        raise StopIteration


class JournalTrackingRecorder(JournalRecorder, persistence.TrackingRecorder):
    """What a materialised view derives from, to store its own tables together with its tracking.

    Those are tables of the journal's database, in a schema of their own; a view elsewhere has its own
    PERSISTENCE_MODULE under the projection's name.
    """

    def insert_tracking(self, tracking: Tracking) -> None:
        self.track(tracking)

    def track(self, tracking: Tracking, also: Also | None = None) -> None:
        """Stores that the projection has processed this event and what `also` stores: both or neither."""

        async def work(connection: Connection) -> None:
            await self._track(connection, tracking)
            if also is not None:
                await also(connection)

        self._journal.transact(work)

    def transact(self, work: Callable[[Connection], Awaitable[T]]) -> T:
        """The result of work on the view's tables, in a transaction of its own."""
        return self._journal.transact(work)

    async def _track(self, connection: Connection, tracking: Tracking) -> None:
        name, position = tracking.application_name, tracking.notification_id
        if not await connection.fetchval(
            TRACK, self._owner.tenant, self._owner.name, name, position
        ):
            raise persistence.IntegrityError(
                f"{self._owner.name}: event {position} of {name} or a later one is tracked already"
            )

    def max_tracking_id(self, application_name: str) -> int | None:
        last = self._journal.fetch(
            LAST_TRACKED, self._owner.tenant, self._owner.name, application_name
        )
        return last[0]["notification_id"] if last else None


class JournalProcessRecorder(
    JournalTrackingRecorder, JournalApplicationRecorder, persistence.ProcessRecorder
):
    """Stores the events that a projection decided on together with its tracking."""

    def insert_events(
        self, stored_events: Sequence[StoredEvent], **kwargs: Any
    ) -> Sequence[int] | None:
        tracking: Tracking | None = kwargs.get("tracking")
        if tracking is None:
            return self._store(stored_events, None)
        if not stored_events:
            self.insert_tracking(tracking)
            return []

        async def also(connection: Connection) -> None:
            await self._track(connection, tracking)

        return self._store(stored_events, also)


class JournalSnapshotRecorder(JournalRecorder, persistence.AggregateRecorder):
    """Snapshots of one source's aggregates: derived data in a table of its own, not sealed."""

    def insert_events(
        self, stored_events: Sequence[StoredEvent], **kwargs: Any
    ) -> Sequence[int] | None:
        snapshots = [
            (
                self._owner.tenant,
                self._owner.source,
                _uuid(each.originator_id),
                each.originator_version,
                each.topic,
                each.state,
            )
            for each in stored_events
        ]
        if snapshots:
            self._journal.transact(
                lambda connection: connection.executemany(STORE_SNAPSHOT, snapshots)
            )
        return None

    def select_events(
        self,
        originator_id: UUID | str,
        *,
        gt: int | None = None,
        lte: int | None = None,
        desc: bool = False,
        limit: int | None = None,
    ) -> Sequence[StoredEvent]:
        snapshots = self._journal.fetch(
            SNAPSHOTS_BACKWARDS if desc else SNAPSHOTS,
            self._owner.tenant,
            self._owner.source,
            _uuid(originator_id),
            -1 if gt is None else gt,
            VERSION_MAX if lte is None else lte,
            limit,
        )
        return [StoredEvent(*snapshot) for snapshot in snapshots]


class JournalFactory(persistence.InfrastructureFactory[JournalTrackingRecorder]):
    """One for each application or projection, with connections and a thread of its own."""

    # The journal's database: one that the touchpoint service has started on. Needed.
    DATABASE_URL = "TOUCHLEDGER_DATABASE_URL"
    # Whose events. Needed.
    TENANT = "TOUCHLEDGER_TENANT"
    # What the application's events are stored under. Unset: the application's name. Another name or source
    # does not find what was stored under the old one.
    SOURCE = "TOUCHLEDGER_SOURCE"
    # "y": open a server whose fsync, full_page_writes or synchronous_commit is off, too. What an application
    # has saved may then be lost.
    UNSAFE_DURABILITY = "TOUCHLEDGER_UNSAFE_DURABILITY"
    # The library's mode that loses events: refused, though it would concern its own recorder only.
    ENABLE_DB_FUNCTIONS = "POSTGRES_ENABLE_DB_FUNCTIONS"

    def __init__(self, env: Environment | EnvType | None) -> None:
        super().__init__(env)
        if self.env.get(self.ENABLE_DB_FUNCTIONS):
            raise OSError(
                f"{self.ENABLE_DB_FUNCTIONS}: got a value, want it unset: it loses events"
            )
        source = self.env.get(self.SOURCE) or self.env.name
        self._owner = Owner(
            _checked(self.TENANT, self.env.get(self.TENANT), TENANT_CHARACTERS_MAX),
            _checked(self.SOURCE, source, NAME_CHARACTERS_MAX),
            self.env.name or source,
        )
        url = self.env.get(self.DATABASE_URL)
        unsafe = strtobool(self.env.get(self.UNSAFE_DURABILITY, "no"))
        if not url:
            raise OSError(
                f"{self.DATABASE_URL}: got nothing, want the URL of the journal's database"
            )
        try:
            self._journal = JournalThread(url, unsafe_durability=unsafe)
        except ValueError:
            # Its text may quote the URL with its password.
            raise OSError(f"{self.DATABASE_URL}: want a URL of PostgreSQL") from None

    def aggregate_recorder(self, purpose: str = "events") -> persistence.AggregateRecorder:
        if purpose == "snapshots":
            return JournalSnapshotRecorder(self._journal, self._owner)
        if purpose == "events":
            return self.application_recorder()
        raise persistence.NotSupportedError(f"purpose: got {purpose}, want events or snapshots")

    def application_recorder(self) -> JournalApplicationRecorder:
        return self._made(JournalApplicationRecorder, self.APPLICATION_RECORDER_TOPIC)

    def tracking_recorder(
        self, tracking_recorder_class: type[JournalTrackingRecorder] | None = None
    ) -> JournalTrackingRecorder:
        if tracking_recorder_class is None:
            return self._made(JournalTrackingRecorder, self.TRACKING_RECORDER_TOPIC)
        return _derived(tracking_recorder_class, JournalTrackingRecorder)(
            self._journal, self._owner
        )

    def process_recorder(self) -> JournalProcessRecorder:
        return self._made(JournalProcessRecorder, self.PROCESS_RECORDER_TOPIC)

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_val: BaseException | None,
        exc_tb: TracebackType | None,
    ) -> None:
        super().__exit__(exc_type, exc_val, exc_tb)
        self.close()

    def close(self) -> None:
        """Its recorders are of no use then."""
        self._journal.close()

    def _made(self, ours: type[R], variable: str) -> R:
        topic = self.env.get(variable)
        chosen = _derived(resolve_topic(topic), ours) if topic else ours
        return chosen(self._journal, self._owner)


def _entry(event: StoredEvent) -> Entry:
    """As strict as the service is with published events: whatever is stored fits into a page."""
    if not 0 <= event.originator_version <= VERSION_MAX:
        raise persistence.DataError(
            f"originator_version: got {event.originator_version}, want 0 to {VERSION_MAX}"
        )
    if not 1 <= len(event.topic) <= NAME_CHARACTERS_MAX or "\0" in event.topic:
        raise persistence.DataError(
            f"topic: got {len(event.topic)} characters, want 1 to {NAME_CHARACTERS_MAX} without NUL"
        )
    if len(event.state) > EVENT_BYTES_MAX:
        raise persistence.DataError(
            f"state: got {len(event.state)} bytes, want at most {EVENT_BYTES_MAX}"
        )
    return Entry(
        originator_id=_uuid(event.originator_id).bytes,
        originator_version=event.originator_version,
        topic=event.topic,
        state=event.state,
        content_digest=hashlib.sha256(event.state).digest(),
    )


def _uuid(originator_id: UUID | str) -> UUID:
    if not isinstance(originator_id, UUID):
        raise persistence.ProgrammingError("originator_id: got text, want a UUID")
    return originator_id


def _notification(event: asyncpg.Record) -> Notification:
    return Notification(
        originator_id=event["originator_id"],
        originator_version=event["originator_version"],
        topic=event["topic"],
        state=event["state"],
        id=event["notification_id"],
    )


def _checked(variable: str, value: str | None, longest: int) -> str:
    if not value or len(value) > longest or "\0" in value:
        got = f"{len(value)} characters" if value else "nothing"
        raise OSError(f"{variable}: got {got}, want 1 to {longest} without NUL")
    return value


def _derived(given: type[R], ours: type[R]) -> type[R]:
    if not issubclass(given, ours):
        raise persistence.ProgrammingError(f"{given}: want a class derived from {ours.__name__}")
    return given
