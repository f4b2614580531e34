"""The test cases that the eventsourcing library ships for those who write recorders, run on the journal.

Its cases of projections can't be imported without a package that nothing here needs;
test_library_application.py holds what they say.
"""

import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any
from uuid import UUID

import pytest
from eventsourcing import cryptography
from eventsourcing.persistence import AggregateRecorder, StoredEvent
from eventsourcing.utils import Environment, get_topic

from services.touchpoint.library import (
    JournalApplicationRecorder,
    JournalFactory,
    JournalProcessRecorder,
    JournalSnapshotRecorder,
    JournalTrackingRecorder,
)
from tests.support.library import assert_seal_holds, environment

# The cases import the library's cipher on pycryptodome, which nothing here needs. Its cipher on cryptography
# has the same interface and writes the same bytes.
sys.modules["eventsourcing.cipher"] = cryptography

from eventsourcing.tests import application as shipped_applications  # noqa: E402 - needs the line above
from eventsourcing.tests import persistence as shipped  # noqa: E402 - needs the line above


class OnAJournal:
    """A fresh journal for each test, whose seal holds afterwards whatever the test has stored."""

    env: Environment

    @pytest.fixture(autouse=True)
    def _journal(self, new_database: Callable[[str], str]) -> Iterator[None]:
        url = new_database("touchpoint")
        self.env = Environment("Accounts", environment(url))
        yield
        assert_seal_holds(url)


class OnOneFactory(OnAJournal):
    @pytest.fixture(autouse=True)
    def _factory(self, _journal: None) -> Iterator[None]:
        with JournalFactory(self.env) as self.factory:
            yield


class TestApplicationRecorder(
    OnOneFactory, shipped.ApplicationRecorderTestCase[JournalApplicationRecorder]
):
    def create_recorder(self) -> JournalApplicationRecorder:
        return self.factory.application_recorder()

    def test_insert_subscribe(self) -> None:
        self.optional_test_insert_subscribe()


class TestNotificationsDoNotInterleave(
    OnOneFactory, shipped.NonInterleavingNotificationIDsBaseCase
):
    def create_recorder(self) -> JournalApplicationRecorder:
        return self.factory.application_recorder()


class TestProcessRecorder(OnOneFactory, shipped.ProcessRecorderTestCase):
    def create_recorder(self) -> JournalProcessRecorder:
        return self.factory.process_recorder()


class TestProcessRecorderAsApplicationRecorder(
    OnOneFactory, shipped.ApplicationRecorderTestCase[JournalApplicationRecorder]
):
    def create_recorder(self) -> JournalApplicationRecorder:
        return self.factory.process_recorder()

    def test_insert_subscribe(self) -> None:
        self.optional_test_insert_subscribe()


class TestTrackingRecorder(OnOneFactory, shipped.TrackingRecorderTestCase):
    def create_recorder(self) -> JournalTrackingRecorder:
        return self.factory.tracking_recorder()


class TestProcessRecorderAsTrackingRecorder(OnOneFactory, shipped.TrackingRecorderTestCase):
    def create_recorder(self) -> JournalTrackingRecorder:
        return self.factory.process_recorder()


class TestSnapshotRecorder(OnOneFactory, shipped.AggregateRecorderTestCase):
    def create_recorder(self) -> AggregateRecorder:
        return self.factory.aggregate_recorder("snapshots")


class WithoutPositions(AggregateRecorder):
    """The case of aggregate recorders wants no positions of what it stores; ours always tells them."""

    def __init__(self, recorder: AggregateRecorder) -> None:
        self._recorder = recorder

    def insert_events(
        self, stored_events: Sequence[StoredEvent], **kwargs: Any
    ) -> Sequence[int] | None:
        positions = self._recorder.insert_events(stored_events, **kwargs)
        assert positions is not None
        assert len(positions) == len(stored_events)
        return None

    def select_events(self, originator_id: UUID | str, **bounds: Any) -> Sequence[StoredEvent]:
        return self._recorder.select_events(originator_id, **bounds)


class TestAggregateRecorder(OnOneFactory, shipped.AggregateRecorderTestCase):
    def create_recorder(self) -> AggregateRecorder:
        return WithoutPositions(self.factory.aggregate_recorder())


class OwnTrackingRecorder(JournalTrackingRecorder):
    pass


class TestFactory(OnAJournal, shipped.InfrastructureFactoryTestCase[JournalFactory]):
    def expected_factory_class(self) -> type[JournalFactory]:
        return JournalFactory

    def expected_aggregate_recorder_class(self) -> type[AggregateRecorder]:
        return JournalApplicationRecorder

    def expected_application_recorder_class(self) -> type[JournalApplicationRecorder]:
        return JournalApplicationRecorder

    def expected_tracking_recorder_class(self) -> type[JournalTrackingRecorder]:
        return JournalTrackingRecorder

    def tracking_recorder_subclass(self) -> type[JournalTrackingRecorder]:
        return OwnTrackingRecorder

    def expected_process_recorder_class(self) -> type[JournalProcessRecorder]:
        return JournalProcessRecorder

    def test_create_snapshot_recorder(self) -> None:
        recorder = self.factory.aggregate_recorder("snapshots")
        assert type(recorder) is JournalSnapshotRecorder


class TestApplication(OnAJournal, shipped_applications.ExampleApplicationTestCase):
    """The library's application of bank accounts, with snapshots; it reads the environment."""

    expected_factory_topic = get_topic(JournalFactory)

    @pytest.fixture(autouse=True)
    def _environment(self, _journal: None, monkeypatch: pytest.MonkeyPatch) -> None:
        for variable, value in self.env.items():
            monkeypatch.setenv(variable, value)
