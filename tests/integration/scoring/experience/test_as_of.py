"""Every figure is exact as of any position: asked for later, it is what was shown then, bit for bit.

And the same after a rebuild, however the journal is cut into pages, whatever was corrected, retracted,
merged, parted and declared meanwhile.
"""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import asyncpg
import pytest

from services.cli.simulator import quarter
from services.scoring.definitions import REGISTERED, RETIRED
from services.scoring.experience import FIGURES
from services.scoring.experience.figure import Figure, rows
from services.scoring.scoreboard import Scoreboard
from tests.conftest import SEARCH_PATH
from tests.support.fact_tables import FactTables, fact_tables
from tests.support.journals import declared, journal_of, project, recorded_at_position
from touchledger.v1 import events_pb2 as pb
from touchledger.v1.journal_pb2 import RecordedEvent

Row = dict[str, Any]
CUSTOMERS = 80
AMENDED = 150
CHANGED = "touchledger.touchpoint_definition.expectation_changed.v1"
CORRECTED = {each.name for each in pb.Correction.DESCRIPTOR.oneofs_by_name["body"].fields}


# Of some of the quarter's touchpoints, and of one where nothing happens.
DECLARED_AT = ("store.checkout", "call.billing", "call.support", "web.nowhere")
# As often as that all of a journal's parts have some.
DECLARATIONS = 24


def declarations() -> list[RecordedEvent]:
    """Of each touchpoint its registration, other standards, its end: before the quarter and in it."""
    dice = Random(8)  # as below
    made = []
    for number in range(DECLARATIONS):
        turn, of = divmod(number, len(DECLARED_AT))
        topic = REGISTERED if not turn else RETIRED if turn % 3 == 2 else CHANGED
        answer = {"metric": "METRIC_CSAT", "value": str(dice.randint(2, 5)), "scale_min": "1"}
        answer |= {"scale_max": "5", "direction": "DIRECTION_HIGHER_IS_BETTER"}
        standard = {
            "answers": [answer],
            "wait_within": f"{dice.randint(30, 300)}s",
            "resolve_within": f"{1000 * dice.randint(1, 2000)}s",
        }
        said: dict[str, object] = {"touchpoint": DECLARED_AT[of]} if topic == REGISTERED else {}
        said |= {} if topic == RETIRED else {"expectation": standard}
        at = datetime(2026, 6, 20, tzinfo=UTC) + timedelta(days=dice.randint(0, 15) + 10 * turn)
        made.append(declared(1, topic, at, said, stream=bytes([of]) * 16))
    return made


def history() -> list[pb.Event]:
    """A simulated quarter with many more amendments, of every kind of event, some before their target."""
    dice = Random(7)  # repeatable is what is wanted here
    events = list(quarter(seed=7, customers=CUSTOMERS))
    people = sorted({each.customer for each in events} - {""})
    for number, target in enumerate(dice.sample(events, AMENDED)):
        kind = str(target.WhichOneof("body"))
        if target.HasField("amends"):
            continue
        amendment = pb.Event(
            event_id=f"amendment {number}",
            occurred_at=target.occurred_at,
            amends=pb.EventReference(event_id=target.event_id),
        )
        if kind in CORRECTED and number % 3:
            amendment.MergeFrom(pb.Event(touchpoint=target.touchpoint, staff=target.staff))
            amendment.customer = dice.choice(people) if target.customer else ""
            amendment.correlation_id = target.correlation_id
            getattr(amendment.correction, kind).CopyFrom(getattr(target, kind))
        else:
            amendment.retraction.reason = "by mistake"
        events.insert(dice.randrange(len(events)), amendment)
    return events


class Then:
    """What was shown at some positions, and the read models after the last one."""

    def __init__(self, sql: FactTables, journal: Sequence[RecordedEvent]) -> None:
        self.sql = sql
        self.positions = [len(journal) // 3, 2 * len(journal) // 3, len(journal)]
        self.shown: dict[tuple[str, int], list[Row]] = {}
        after = 0
        for position in self.positions:
            asyncio.run(fill(sql.url, journal[after:position], page_events=997))
            for figure in FIGURES:
                self.shown[figure.name, position] = self.of_view(figure)
            after = position

    def of_view(self, figure: Figure) -> list[Row]:
        by = [*figure.order, *figure.keys]
        keys = f" ORDER BY {', '.join(by)}" if by else ""
        told = self.sql.rows(f"SELECT * FROM {figure.name} WHERE tenant = 'default'{keys}")
        return [{name: row[name] for name in [*figure.keys, *figure.columns]} for row in told]

    def as_of(self, figure: Figure, position: int) -> list[Row]:
        return self.sql.rows(rows(figure, "'default'", str(position), "NULL::timestamptz"))


async def fill(url: str, journal: Sequence[RecordedEvent], *, page_events: int) -> None:
    async with asyncpg.create_pool(url, server_settings=SEARCH_PATH) as pool:
        await project(Scoreboard(pool), journal, page_events=page_events)


@pytest.fixture(scope="module")
def journal() -> list[RecordedEvent]:
    recorded = journal_of(*history())
    for number, each in enumerate(declarations(), start=1):
        recorded.insert(number * len(recorded) // (DECLARATIONS + 1), each)
    for position, each in enumerate(recorded, start=1):
        each.position = position
        # After the quarter, so that windows are over.
        each.recorded_at.FromDatetime(recorded_at_position(position) + timedelta(days=60))
    return recorded


@pytest.fixture(scope="module")
def then(new_database: Callable[[str], str], journal: list[RecordedEvent]) -> Iterator[Then]:
    with fact_tables(new_database) as sql:
        # As questions have it: told.WHOLE_TENANT.
        sql.value("SELECT set_config('enable_nestloop', 'off', false)")
        yield Then(sql, journal)


@pytest.fixture(scope="module")
def rebuilt(
    new_database: Callable[[str], str], journal: list[RecordedEvent]
) -> Iterator[FactTables]:
    with fact_tables(new_database) as sql:
        asyncio.run(fill(sql.url, journal, page_events=5000))
        sql.value("SELECT set_config('enable_nestloop', 'off', false)")
        yield sql


@pytest.mark.parametrize("figure", FIGURES, ids=lambda figure: figure.name)
def test_a_figure_asked_for_later_is_what_was_shown_then(then: Then, figure: Figure) -> None:
    for position in then.positions:
        assert then.shown[figure.name, position] == then.as_of(figure, position)


@pytest.mark.parametrize("figure", FIGURES, ids=lambda figure: figure.name)
def test_a_figure_is_the_same_after_a_rebuild(
    then: Then, rebuilt: FactTables, figure: Figure
) -> None:
    last = then.positions[-1]
    told = rebuilt.rows(rows(figure, "'default'", str(last), "NULL::timestamptz"))
    assert then.shown[figure.name, last] == told


@pytest.fixture(scope="module")
def on_another_way(rebuilt: FactTables) -> Iterator[FactTables]:
    """The planner chooses by estimates, which change: groups sorted rather than hashed, and so the joins."""
    for each in ("enable_hashagg", "enable_hashjoin"):
        rebuilt.value("SELECT set_config($1, 'off', false)", each)
    yield rebuilt
    for each in ("enable_hashagg", "enable_hashjoin"):
        rebuilt.value("SELECT set_config($1, 'on', false)", each)


@pytest.mark.parametrize("figure", FIGURES, ids=lambda figure: figure.name)
def test_a_figure_is_the_same_whatever_way_it_is_found(
    then: Then, on_another_way: FactTables, figure: Figure
) -> None:
    last = then.positions[-1]
    told = on_another_way.rows(rows(figure, "'default'", str(last), "NULL::timestamptz"))
    assert then.shown[figure.name, last] == told
