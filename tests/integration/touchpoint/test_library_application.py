"""Ordinary applications and projections of the eventsourcing library, on a journal that others use, too."""

import asyncio
import gc
import threading
from collections.abc import Callable, Iterator
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid4, uuid5

import asyncpg
import psycopg
import pytest
from eventsourcing.application import AggregateNotFoundError, Application, ProcessingEvent
from eventsourcing.cryptography import AESCipher
from eventsourcing.dispatch import singledispatchmethod
from eventsourcing.domain import Aggregate, DomainEventProtocol, event
from eventsourcing.persistence import (
    DataError,
    IntegrityError,
    InterfaceError,
    OperationalError,
    PersistenceError,
    ProgrammingError,
    StoredEvent,
    Tracking,
)
from eventsourcing.projection import (
    EventSourcedProjection,
    EventSourcedProjectionRunner,
    Projection,
    ProjectionRunner,
)
from eventsourcing.utils import Environment, get_topic

from services.chassis.postgres import Connection
from services.touchpoint import journal_thread
from services.touchpoint.journal import Journal
from services.touchpoint.library import (
    JournalApplicationRecorder,
    JournalFactory,
    JournalTrackingRecorder,
)
from services.touchpoint.row import encode
from tests.support.entries import attempt, entry
from tests.support.library import assert_seal_holds, environment

DEADLINE_SECONDS = 20.0
APPEND_LOCK = "SELECT pg_advisory_lock(7310114002)"
END_OTHERS = """
SELECT count(pg_terminate_backend(pid))
  FROM pg_stat_activity
 WHERE datname = current_database() AND pid <> pg_backend_pid()
"""


class Dog(Aggregate):
    def __init__(self, name: str) -> None:
        self.name = name
        self.tricks = list[str]()

    @event("TrickAdded")
    def add_trick(self, trick: str) -> None:
        self.tricks.append(trick)


class NamedDog(Dog):
    @staticmethod
    def create_id(name: str) -> UUID:
        return uuid5(NAMESPACE_URL, f"/dogs/{name}")


class Kennel(Application[UUID]):
    name = "kennel"
    is_snapshotting_enabled = True


@pytest.fixture
def url(new_database: Callable[[str], str]) -> Iterator[str]:
    url = new_database("touchpoint")
    yield url
    assert_seal_holds(url)


@pytest.fixture
def env(url: str) -> dict[str, str]:
    return environment(url)


def publish(url: str, *event_ids: str) -> None:
    """As a source does, through the service."""

    async def append() -> None:
        async with asyncpg.create_pool(url, min_size=1, max_size=2) as pool:
            journal = await Journal.open(pool, stopping=asyncio.Event())
            await journal.append(encode(attempt(), map(entry, event_ids)))

    asyncio.run(append())


def query(url: str, statement: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(url) as connection:
        return connection.execute(statement.encode()).fetchall()


# Applications.


def test_an_application_keeps_its_aggregates_between_the_events_of_others(
    url: str, env: dict[str, str]
) -> None:
    publish(url, "before")
    with Kennel(env) as kennel:
        dog = Dog("Fido")
        dog.add_trick("roll over")
        assert [2, 3] == [each.notification.id for each in kennel.save(dog)]
        publish(url, "between")
        copy: Dog = kennel.repository.get(dog.id)
        copy.add_trick("play dead")
        assert [5] == [each.notification.id for each in kennel.save(copy)]
    with Kennel(env) as kennel:
        again: Dog = kennel.repository.get(dog.id)
        assert ("Fido", ["roll over", "play dead"]) == (again.name, again.tricks)
        assert [2, 3, 5] == [each.id for each in kennel.notification_log.select(1, 10)]
        assert kennel.recorder.max_notification_id() == 5
    stored = (
        "SELECT tenant, source, originator_version FROM journal.stored_events WHERE originator_id"
    )
    assert query(url, f"{stored} = '{dog.id}' ORDER BY notification_id") == [
        ("acme", "kennel", version) for version in (1, 2, 3)
    ]


def test_a_save_from_an_older_state_is_refused_and_stores_nothing(
    url: str, env: dict[str, str]
) -> None:
    with Kennel(env) as kennel:
        dog = Dog("Fido")
        kennel.save(dog)
        one: Dog = kennel.repository.get(dog.id)
        other: Dog = kennel.repository.get(dog.id)
        one.add_trick("roll over")
        kennel.save(one)
        other.add_trick("play dead")
        with pytest.raises(IntegrityError):
            kennel.save(Dog("Rex"), other)
        assert kennel.repository.get(dog.id).tricks == ["roll over"]
        assert kennel.recorder.max_notification_id() == 2


def test_what_the_mapper_compresses_and_encrypts_is_stored_so(
    url: str, env: dict[str, str]
) -> None:
    secrets = {
        "COMPRESSOR_TOPIC": "zlib",
        "CIPHER_TOPIC": get_topic(AESCipher),
        "CIPHER_KEY": AESCipher.create_key(16),
    }
    with Kennel(env | secrets) as kennel:
        dog = Dog("Fido")
        kennel.save(dog)
        assert kennel.repository.get(dog.id).name == "Fido"
    ((state,),) = query(url, "SELECT state FROM journal.stored_events")
    assert b"Fido" not in state


def test_an_application_stores_under_its_name_unless_a_source_is_given(
    url: str, env: dict[str, str]
) -> None:
    with Kennel(env | {"KENNEL_TOUCHLEDGER_SOURCE": "dogs"}) as kennel:
        kennel.save(Dog("Fido"))
    with Kennel(env) as kennel:
        kennel.save(Dog("Rex"))
        assert [2] == [each.id for each in kennel.notification_log.select(1, 10)]
    assert query(url, "SELECT source FROM journal.stored_events ORDER BY notification_id") == [
        ("dogs",),
        ("kennel",),
    ]


# Tenants.


@pytest.fixture
def acme(env: dict[str, str]) -> Iterator[Kennel]:
    with Kennel(env) as kennel:
        yield kennel


@pytest.fixture
def globex(url: str) -> Iterator[Kennel]:
    with Kennel(environment(url, tenant="globex")) as kennel:
        yield kennel


def test_a_tenant_s_application_sees_nothing_of_another_s(acme: Kennel, globex: Kennel) -> None:
    dog, other = Dog("Fido"), Dog("Rex")
    acme.save(dog)
    acme.take_snapshot(dog.id)
    globex.save(other)
    assert acme.snapshots
    assert globex.snapshots
    assert [1] == [each.id for each in acme.notification_log.select(1, 10)]
    assert [2] == [each.id for each in globex.notification_log.select(1, 10)]
    assert [1, 2] == [acme.recorder.max_notification_id(), globex.recorder.max_notification_id()]
    with pytest.raises(AggregateNotFoundError):
        globex.repository.get(dog.id)
    assert globex.recorder.select_events(dog.id) == []
    assert len(list(acme.snapshots.get(dog.id))) == 1
    assert list(globex.snapshots.get(dog.id)) == []
    with globex.recorder.subscribe(gt=0) as subscription:
        assert next(subscription).originator_id == other.id


def test_a_tenant_can_t_continue_another_s_stream(acme: Kennel, globex: Kennel) -> None:
    dog = Dog("Fido")
    acme.save(dog)
    with pytest.raises(IntegrityError, match="stored is none of this tenant's"):
        globex.recorder.insert_events([StoredEvent(dog.id, 2, "topic", b"{}")])
    dog.add_trick("roll over")
    assert [2] == [each.notification.id for each in acme.save(dog)]


def test_an_id_belongs_to_the_tenant_that_used_it_first(acme: Kennel, globex: Kennel) -> None:
    acme.save(NamedDog("Fido"))
    with pytest.raises(IntegrityError):
        globex.save(NamedDog("Fido"))
    assert globex.recorder.max_notification_id() is None


def test_tenants_track_for_themselves(url: str, env: dict[str, str]) -> None:
    for tenant in ("acme", "globex"):
        with JournalFactory(Environment("tricks", environment(url, tenant=tenant))) as factory:
            tracking = factory.tracking_recorder()
            assert tracking.max_tracking_id("kennel") is None
            tracking.insert_tracking(Tracking("kennel", 7))


def test_projections_of_one_application_track_for_themselves(env: dict[str, str]) -> None:
    for projection in ("tricks", "names"):
        with JournalFactory(Environment(projection, env)) as factory:
            tracking = factory.tracking_recorder()
            assert tracking.max_tracking_id("kennel") is None
            tracking.insert_tracking(Tracking("kennel", 7))


# Projections.


class TricksView(JournalTrackingRecorder):
    """How many tricks each dog can do, in a table of its own beside the journal."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.transact(
            lambda connection: connection.execute(
                "CREATE TABLE IF NOT EXISTS public.tricks (dog uuid PRIMARY KEY, tricks bigint NOT NULL)"
            )
        )

    def add(self, dog: UUID, tracking: Tracking) -> None:
        async def also(connection: Connection) -> None:
            await connection.execute(
                "INSERT INTO public.tricks AS known (dog, tricks) VALUES ($1, 1) "
                "ON CONFLICT (dog) DO UPDATE SET tricks = known.tricks + 1",
                dog,
            )

        self.track(tracking, also)

    def tricks(self, dog: UUID) -> int:
        found: int | None = self.transact(
            lambda connection: connection.fetchval(
                "SELECT tricks FROM public.tricks WHERE dog = $1", dog
            )
        )
        return found or 0


class DogStolen(Aggregate.Event):
    pass


class StolenError(Exception):
    pass


class Tricks(Projection[TricksView]):
    name = "tricks"
    topics = (get_topic(Dog.TrickAdded), get_topic(DogStolen))  # type: ignore[attr-defined] # the decorator makes the class

    @singledispatchmethod
    def process_event(self, domain_event: Any, tracking: Tracking) -> None:
        self.view.add(domain_event.originator_id, tracking)

    @process_event.register
    def _(self, _: DogStolen, tracking: Tracking) -> None:
        raise StolenError


def runner(env: dict[str, str]) -> ProjectionRunner[Kennel, TricksView]:
    return ProjectionRunner(
        application_class=Kennel, projection_class=Tricks, view_class=TricksView, env=env
    )


def test_a_projection_follows_its_application_and_goes_on_where_it_was(
    url: str, env: dict[str, str]
) -> None:
    dog = Dog("Fido")
    dog.add_trick("roll over")
    with runner(env) as running:
        running.app.save(dog)
        publish(url, "of somebody else")
        dog.add_trick("play dead")
        last = running.app.save(dog)[-1].notification.id
        running.wait(last, timeout=DEADLINE_SECONDS)
        assert running.projection.view.tricks(dog.id) == 2
    with Kennel(env) as kennel:
        dog.add_trick("fetch")
        last = kennel.save(dog)[-1].notification.id
    with runner(env) as running:
        running.wait(last, timeout=DEADLINE_SECONDS)
        assert running.projection.view.tricks(dog.id) == 3
        assert running.projection.view.max_tracking_id("kennel") == last == 5


def test_a_view_and_its_tracking_are_stored_together_or_not_at_all(env: dict[str, str]) -> None:
    with JournalFactory(Environment("tricks", env)) as factory:
        view = factory.tracking_recorder(TricksView)
        assert isinstance(view, TricksView)
        dog = uuid4()
        view.add(dog, Tracking("kennel", 1))
        with pytest.raises(IntegrityError):
            view.add(dog, Tracking("kennel", 1))
        assert view.tricks(dog) == 1

        async def fail(connection: Connection) -> None:
            await connection.execute("SELECT 1 / 0")

        with pytest.raises(DataError):
            view.track(Tracking("kennel", 2), fail)
        assert view.max_tracking_id("kennel") == 1


def test_an_error_of_a_projection_ends_its_runner_with_the_event_not_tracked(
    env: dict[str, str],
) -> None:
    dog = Dog("Fido")
    dog.add_trick("roll over")
    dog.trigger_event(DogStolen)
    with runner(env) as running:
        running.app.save(dog)
        with pytest.raises(StolenError):
            running.run_forever(timeout=DEADLINE_SECONDS)
        assert running.projection.view.max_tracking_id("kennel") == 2


class TrickCounter(Aggregate):
    def __init__(self, trick: str) -> None:
        self.trick = trick
        self.count = 0

    @staticmethod
    def create_id(trick: str) -> UUID:
        return uuid5(NAMESPACE_URL, f"/tricks/{trick}")

    @event("Counted")
    def add(self) -> None:
        self.count += 1


class TrickCounters(EventSourcedProjection[UUID]):
    name = "trick-counters"

    @singledispatchmethod
    def policy(
        self, domain_event: DomainEventProtocol[UUID], processing_event: ProcessingEvent[UUID]
    ) -> None:
        pass

    @policy.register
    def _(self, added: Dog.TrickAdded, processing_event: ProcessingEvent[UUID]) -> None:  # type: ignore[name-defined] # the decorator makes it
        try:
            counter: TrickCounter = self.repository.get(TrickCounter.create_id(added.trick))
        except AggregateNotFoundError:
            counter = TrickCounter(added.trick)
        counter.add()
        processing_event.collect_events(counter)


def test_a_projection_that_decides_stores_its_events_in_the_same_journal(
    env: dict[str, str],
) -> None:
    """It follows the application and not its own events, though both have one environment."""
    with EventSourcedProjectionRunner(
        application_class=Kennel, projection_class=TrickCounters, env=env
    ) as running:
        for name in ("Fido", "Rex"):
            dog = Dog(name)
            dog.add_trick("roll over")
            last = running.app.save(dog)[-1].notification.id
            running.wait(last, timeout=DEADLINE_SECONDS)
        counters = running.projection
        counter: TrickCounter = counters.repository.get(TrickCounter.create_id("roll over"))
        assert counter.count == 2
        # Two dogs with two events each; the counter's three lie between and after.
        assert len(running.app.notification_log.select(1, 10)) == 4
        assert len(counters.notification_log.select(1, 10)) == 3


def test_following_from_beyond_the_end_is_refused(env: dict[str, str]) -> None:
    """The journal was restored to an earlier time: what is stored next would be taken for known."""
    with (
        Kennel(env) as kennel,
        kennel.recorder.subscribe(gt=1) as subscription,
        pytest.raises(OperationalError, match="got 1, want at most 0"),
    ):
        next(subscription)


def test_a_plain_recorder_takes_no_tracking(env: dict[str, str]) -> None:
    """It would be dropped in silence, and the event be processed again."""
    with JournalFactory(Environment("kennel", env)) as factory:
        recorder = factory.application_recorder()
        with pytest.raises(ProgrammingError):
            recorder.insert_events(
                [StoredEvent(uuid4(), 1, "topic", b"{}")], tracking=Tracking("other", 1)
            )
        assert recorder.max_notification_id() is None


# What goes wrong.


@pytest.fixture
def recorder(env: dict[str, str]) -> Iterator[JournalApplicationRecorder]:
    with JournalFactory(Environment("kennel", env)) as factory:
        yield factory.application_recorder()


@pytest.mark.parametrize(
    ("stored", "error"),
    [
        (StoredEvent("no uuid", 1, "topic", b"{}"), ProgrammingError),
        (StoredEvent(uuid4(), -1, "topic", b"{}"), DataError),
        (StoredEvent(uuid4(), 2**63, "topic", b"{}"), DataError),
        (StoredEvent(uuid4(), 1, "", b"{}"), DataError),
        (StoredEvent(uuid4(), 1, "t" * 129, b"{}"), DataError),
        (StoredEvent(uuid4(), 1, "to\0pic", b"{}"), DataError),
        (StoredEvent(uuid4(), 1, "topic", bytes(128 * 1024 + 1)), DataError),
    ],
    ids=["text id", "negative", "beyond 64 bits", "no topic", "long topic", "NUL", "large"],
)
def test_what_the_journal_can_t_take_is_refused_with_all_that_comes_with_it(
    recorder: JournalApplicationRecorder, stored: StoredEvent, error: type[PersistenceError]
) -> None:
    with pytest.raises(error):
        recorder.insert_events([StoredEvent(uuid4(), 1, "topic", b"{}"), stored])
    assert recorder.max_notification_id() is None


def test_reads_outlive_the_connections_of_a_server_that_restarts(
    url: str, recorder: JournalApplicationRecorder
) -> None:
    with recorder.subscribe(gt=0) as subscription:
        for position in (1, 2, 3):
            recorder.insert_events([StoredEvent(uuid4(), 1, "topic", b"{}")])
            assert next(subscription).id == position
            query(url, END_OTHERS)
            assert recorder.max_notification_id() == position


def test_an_append_that_can_t_get_its_turn_is_an_operational_error_and_stores_nothing(
    url: str, env: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_thread, "LOCK_TIMEOUT", "100ms")
    with (
        JournalFactory(Environment("kennel", env)) as factory,
        psycopg.connect(url, autocommit=True) as holder,
    ):
        recorder = factory.application_recorder()
        holder.execute(APPEND_LOCK)
        with pytest.raises(OperationalError):
            recorder.insert_events([StoredEvent(uuid4(), 1, "topic", b"{}")])
        assert recorder.max_notification_id() is None


def test_a_call_that_takes_too_long_is_given_up(
    url: str, env: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_thread, "CALL_SECONDS_MAX", 0.2)
    with (
        JournalFactory(Environment("kennel", env)) as factory,
        psycopg.connect(url, autocommit=True) as holder,
    ):
        holder.execute(APPEND_LOCK)
        with pytest.raises(OperationalError, match="TimeoutError"):
            factory.application_recorder().insert_events([StoredEvent(uuid4(), 1, "topic", b"{}")])


def test_a_closed_factory_s_recorders_say_so(env: dict[str, str]) -> None:
    factory = JournalFactory(Environment("kennel", env))
    recorder = factory.application_recorder()
    factory.close()
    factory.close()
    with pytest.raises(InterfaceError, match="closed"):
        recorder.insert_events([StoredEvent(uuid4(), 1, "topic", b"{}")])
    with pytest.raises(InterfaceError, match="closed"):
        recorder.max_notification_id()
    assert journal_threads() == []


def test_what_the_library_forgets_to_close_closes_itself(env: dict[str, str]) -> None:
    """Its runner of projections closes the application and not the factory of the view."""
    with runner(env):
        assert len(journal_threads()) == 2
    gc.collect()
    assert journal_threads() == []


def journal_threads() -> list[threading.Thread]:
    return [each for each in threading.enumerate() if each.name == "touchledger journal"]


@pytest.mark.parametrize(
    "change", ["POSTGRES_ENABLE_DB_FUNCTIONS", "KENNEL_POSTGRES_ENABLE_DB_FUNCTIONS"]
)
def test_the_library_s_mode_that_loses_events_is_refused(env: dict[str, str], change: str) -> None:
    with pytest.raises(OSError, match="POSTGRES_ENABLE_DB_FUNCTIONS: got a value, want it unset"):
        Kennel(env | {change: "y"})


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"TOUCHLEDGER_DATABASE_URL": ""}, "TOUCHLEDGER_DATABASE_URL: got nothing"),
        ({"TOUCHLEDGER_DATABASE_URL": "postgres://u:secret@[h/d"}, "want a URL of PostgreSQL"),
        ({"TOUCHLEDGER_DATABASE_URL": "postgres://u:secret@h:p/d"}, "want a URL of PostgreSQL"),
        ({"TOUCHLEDGER_DATABASE_URL": "secret"}, "want a URL of PostgreSQL"),
        ({"TOUCHLEDGER_TENANT": ""}, "TOUCHLEDGER_TENANT: got nothing, want 1 to 64"),
        ({"TOUCHLEDGER_TENANT": "t" * 65}, "TOUCHLEDGER_TENANT: got 65 characters"),
        ({"TOUCHLEDGER_SOURCE": "s" * 129}, "TOUCHLEDGER_SOURCE: got 129 characters"),
    ],
)
def test_a_bad_variable_is_named(env: dict[str, str], change: dict[str, str], told: str) -> None:
    with pytest.raises(OSError, match=told) as refused:
        Kennel(env | change)
    assert "secret" not in str(refused.value)


def test_a_database_without_a_journal_is_refused(
    new_database: Callable[[str], str], env: dict[str, str]
) -> None:
    with pytest.raises(ProgrammingError, match="the touchpoint service has started on"):
        Kennel(env | {"TOUCHLEDGER_DATABASE_URL": new_database("gateway")})


def test_a_server_that_may_forget_is_refused_unless_that_is_wanted(
    url: str, env: dict[str, str]
) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        database = connection.info.dbname
        connection.execute(f"ALTER DATABASE {database} SET synchronous_commit = off".encode())
    with pytest.raises(OperationalError, match="got synchronous_commit=off"):
        Kennel(env)
    with Kennel(env | {"TOUCHLEDGER_UNSAFE_DURABILITY": "y"}) as kennel:
        kennel.save(Dog("Fido"))
