"""Live state equals a rebuild, row for row, whatever came, however it was paged and wherever it restarted.

Hypothesis makes the story: events of a few customers, members of staff and tenants, many of them amended,
some before they come, some that can't be stored, and decisions of the catalogue; and how two projections
cut it into pages.
"""

import asyncio
import itertools
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.chassis.postgres import Pool
from services.scoring.definitions import REGISTERED, RETIRED
from services.scoring.facts import DEFINITIONS
from services.scoring.lease import Lease
from services.scoring.models import LIVE, NEXT, Model
from services.scoring.projections import Compared, Comparison, Projections
from services.scoring.projector import Projector
from services.scoring.scoreboard import Scoreboard
from services.scoring.source import Page, Source
from tests.support.events import csat, event, nps
from tests.support.journals import JOURNAL_ID, declared, recorded, recorded_at_position
from touchledger.v1 import events_pb2 as pb
from touchledger.v1.journal_pb2 import RecordedEvent

# A story takes a third of a second; `make stories` tells more of them.
STORIES = int(os.environ.get("TOUCHLEDGER_TEST_STORIES", "25"))
PAGES_MAX = 28
ZONE = "Europe/Berlin"
TOO_LARGE = "9999999999999999999999"

few = st.sampled_from
# Around midnight, at a month's end and at the end of summer time: days, weeks and months of zones differ.
moments = few(
    [
        f"{day}T{time}Z"
        for day in ("2026-08-31", "2026-09-01", "2026-10-25", "2026-12-31")
        for time in ("00:30:00", "12:00:00", "22:30:00", "23:59:59.999999")
    ]
)
staged = st.fixed_dictionaries(
    {
        "stage": few(["STAGE_PURCHASE", "STAGE_SERVICE"]),
        "channel": few(["CHANNEL_STORE", "CHANNEL_PHONE"]),
        "service_mode": few(["SERVICE_MODE_SELF", "SERVICE_MODE_ASSISTED"]),
    }
)
STANDARD = {"metric": "METRIC_CSAT", "value": "4", "scale_min": "1", "scale_max": "5"}
STANDARD |= {"direction": "DIRECTION_HIGHER_IS_BETTER"}
signals = st.lists(
    st.one_of(
        st.integers(1, 5).map(lambda value: csat(str(value))),
        st.integers(0, 10).map(lambda value: nps(str(value))),
        st.integers(1, 7).map(lambda value: csat(str(value), scale_max="7")),
    ),
    max_size=3,
)
STEPS = ("CAPTURED", "APPLIED")
BODIES: dict[str, st.SearchStrategy[dict[str, Any]]] = {
    "interaction": st.builds(
        lambda body, outcome: body | {"outcome": outcome},
        staged,
        few(["OUTCOME_COMPLETED", "OUTCOME_RESOLVED", "OUTCOME_TRANSFERRED"]),
    ),
    "feedback_requested": staged,
    "feedback_suppressed": staged.map(lambda body: body | {"reason": "opt_out"}),
    "feedback_received": st.builds(lambda body, given: body | {"signals": given}, staged, signals),
    "expectation": few(
        [
            {"basis": "EXPECTATION_BASIS_SURVEY", "signal": csat("4")},
            {"basis": "EXPECTATION_BASIS_PROMISE", "due_at": "2026-09-01T12:00:00Z"},
        ]
    ),
    "failure": few([{"stage": "STAGE_DELIVERY", "severity": "SEVERITY_MAJOR"}]),
    "remedy": few([{"cost": {"amount": "12.5", "currency": "EUR"}}]),
    "public_post": few([{"platform": "mastodon", "reach": 12}]),
    "customer_profile": few(
        [
            {"birth_year_from": 1980, "birth_year_to": 1984, "segments": {"status": "gold"}},
            {"birth_year_from": 1950, "birth_year_to": 1954},
            {"birth_year_from": 1960, "birth_year_to": 1969, "segments": {"status": "none"}},
            {"segments": {"status": "silver", "club": "yes"}},
        ]
    ),
    "staff_profile": few([{"group": "north"}, {"group": "south", "cohort": "2026"}]),
    "goodwill": few([{"kind": "flowers", "value": {"amount": "5", "currency": "EUR"}}]),
    "recovery_closed": few([{"result": "RECOVERY_RESULT_ACCEPTED"}, {}]),
    "recognition": few([{"given_by": "customer"}]),
    "assessment": st.builds(
        lambda given, kept: {"assessor": "quality", "signals": given, "within_sla": kept},
        signals,
        st.booleans(),
    ),
    "reason_stated": few([{"issue_code": "late", "reason_code": reason} for reason in "ab"]),
    "insight": few([{"insight_id": "one", "step": f"INSIGHT_STEP_{step}"} for step in STEPS]),
    "advice": few([{"options": [{"item": "a"}, {"item": "b"}], "chosen": "b"}]),
    "product_follow_up": few([{"item": "b", "kept": True}, {"item": "b", "happy": False}]),
    "public_post_removed": few([{"platform": "mastodon", "post_id": "1"}]),
    "service_claim": few([{"claimed": csat("5")}]),
    "front_line": few(
        [{"step": "FRONT_LINE_STEP_TRAINING", "kind": "listening", "group": "north"}]
    ),
    "identity": few(
        [
            {"same_as": "ben", "relation": f"IDENTITY_RELATION_{relation}"}
            for relation in ("SAME", "DIFFERENT")
        ]
    ),
    "scenario": few([{"name": "leave", "loss_percent": "5", "competitor_percent": "50"}]),
}
# Where it counts most: answers, and what moves them from group to group.
KINDS = few([*BODIES, *6 * ["feedback_received"], *3 * ["customer_profile", "staff_profile"]])
CORRECTED = {each.name for each in pb.Correction.DESCRIPTOR.oneofs_by_name["body"].fields}
customers, staff = few(["", "ann", "ann", "ben"]), few(["", "staff-1", "staff-1", "staff-2"])
# Tenant and source.
PUBLISHERS = few([("one", "till"), ("one", "till"), ("one", "phone"), ("two", "till")])


@dataclass(frozen=True)
class Sent:
    """An event, and who published it."""

    event: pb.Event
    publisher: tuple[str, str]
    kind: str


def envelope(draw: st.DrawFn, kind: str) -> dict[str, Any]:
    return {
        "occurred_at": draw(moments),
        "touchpoint": draw(few(["store.checkout", "call.billing"])),
        "customer": draw(customers) or ("ben" if kind == "customer_profile" else ""),
        "staff": draw(staff) or ("staff-2" if kind == "staff_profile" else ""),
        "correlation_id": draw(few(["", "journey-1", "journey-2"])),
        "place": {"store": draw(few(["", "cologne"]))},
    }


def published(draw: st.DrawFn, event_id: str) -> Sent:
    kind = draw(KINDS)
    made = event(event_id=event_id, **envelope(draw, kind), **{kind: draw(BODIES[kind])})
    if kind == "feedback_received" and made.feedback_received.signals and draw(few(SELDOM)):
        made.feedback_received.signals[0].value = TOO_LARGE
    return Sent(made, draw(PUBLISHERS), kind)


def amendment(draw: st.DrawFn, event_id: str, of: Sent) -> Sent:
    """Of the event, or of one that never comes; mostly of its kind."""
    kind = draw(KINDS) if draw(few(SELDOM)) else of.kind
    target = "never" if draw(few(SELDOM)) else of.event.event_id
    told = envelope(draw, kind) | {"event_id": event_id, "amends": {"event_id": target}}
    if kind not in CORRECTED or draw(st.booleans()):
        return Sent(event(**told, retraction={"reason": "test sale"}), of.publisher, "retraction")
    correction = {"reason": "wrong key", kind: draw(BODIES[kind])}
    made = event(**told, correction=correction)
    said = made.correction
    if kind == "feedback_received" and said.feedback_received.signals and draw(few(SELDOM)):
        said.feedback_received.signals[0].value = TOO_LARGE
    return Sent(made, of.publisher, "correction")


SELDOM = [False] * 7 + [True]


# Of one touchpoint; what comes before its registration is about nothing that is known.
decided = st.lists(
    st.tuples(
        few([REGISTERED, REGISTERED, RETIRED, f"{DEFINITIONS}expectation_changed.v1"]),
        st.integers(0, 3),
        few([{}, {"expectation": {"wait_within": "60s", "answers": [STANDARD]}}]),
    ),
    min_size=1,
    max_size=4,
)


@st.composite
def journals(draw: st.DrawFn) -> list[RecordedEvent]:
    """Events, about as many amendments of them and some decisions of the catalogue, in any order."""
    events = [published(draw, f"event {number}") for number in range(draw(st.integers(3, 14)))]
    amendments = [
        amendment(draw, f"amendment {number}", draw(few(events)))
        for number in range(draw(st.integers(0, 14)))
    ]
    journal = [
        recorded(each.event, position, tenant=each.publisher[0], source=each.publisher[1])
        for position, each in enumerate(draw(st.permutations(events + amendments)), start=1)
    ]
    for topic, day, said in draw(decided):
        at = datetime(2026, 9, 1 + day, tzinfo=UTC)
        decision = declared(0, topic, at, {"touchpoint": "store.checkout", **said}, tenant="one")
        journal.insert(draw(st.integers(0, len(journal))), decision)
    for position, each in enumerate(journal, start=1):
        each.position = position
        each.recorded_at.FromDatetime(recorded_at_position(position))
    for unreadable in draw(st.sets(st.integers(0, len(journal) - 1), max_size=1)):
        journal[unreadable].event = b"\xff\xff"
    return journal


# Sizes of pages, taken in turn, and before which of them the process is another one.
Cut = tuple[list[int], set[int]]


@st.composite
def cuts(draw: st.DrawFn) -> Cut:
    sizes = draw(st.lists(st.integers(1, 12), min_size=1, max_size=4))
    return sizes, draw(st.sets(st.integers(0, PAGES_MAX), max_size=4))


BEGIN_AGAIN = "UPDATE freshness SET journal_id = '', position = 0, events = 0, recorded_at = NULL"


class Nowhere(Source):
    """The pages come by hand."""

    def __init__(self) -> None:
        pass


async def project(pool: Pool, model: Model, journal: Sequence[RecordedEvent], cut: Cut) -> None:
    """As the service does, which parks what it must; a restart knows nothing but the tables."""
    sizes, restarts = cut
    name = "live" if model is LIVE else "next"
    projector, token, start = None, None, 0
    for number, size in enumerate(itertools.cycle(sizes)):
        if start >= len(journal):
            return
        if projector is None or number in restarts:
            lease = Lease(pool, name, owner=f"test:{number}")
            await pool.execute(
                "UPDATE scoring.lease SET expires_at = '-infinity' WHERE projection = $1", name
            )
            token = await lease.take()
            assert token is not None
            scoreboard = Scoreboard(pool, model=model, reporting_zone=ZONE)
            projector = Projector(Nowhere(), scoreboard, lease)
            assert start == (await scoreboard.checkpoint()).number
        page = list(journal[start : start + size])
        assert token is not None
        await projector._write(Page(JOURNAL_ID, page, len(journal)), page, token)
        start += len(page)


class World:
    """Both models in one database, for all stories; each begins with empty ones."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._runner = asyncio.Runner()
        self._pools: dict[Model, Pool] = {}
        # Those that a model has nothing in when it is made.
        self._empty: dict[Model, list[str]] = {}

    def __enter__(self) -> "World":
        self._runner.run(self._open())
        return self

    def __exit__(self, *failure: object) -> None:
        self._runner.run(self._close())
        self._runner.close()

    def tell(
        self, journal: list[RecordedEvent], live: Cut, rebuilt: Cut
    ) -> list[Compared | Comparison]:
        """What a comparison finds after both have projected the journal."""
        return self._runner.run(self._tell(journal, live, rebuilt))

    async def _open(self) -> None:
        for model in (LIVE, NEXT):
            pool = await asyncpg.create_pool(
                self._url,
                min_size=1,
                max_size=3,
                server_settings={"search_path": model.search_path, "timezone": "UTC"},
            )
            await Scoreboard(pool, model=model, reporting_zone=ZONE).install()
            tables = await pool.fetch(
                "SELECT format('%I.%I', schemaname, tablename) FROM pg_tables WHERE schemaname IN ($1, $2)",
                model.bi,
                model.fold,
            )
            self._pools[model] = pool
            self._empty[model] = [
                row[0]
                for row in tables
                if not await pool.fetchval(f"SELECT EXISTS (SELECT FROM {row[0]})")
            ]

    async def _close(self) -> None:
        for pool in self._pools.values():
            await pool.close()

    async def _tell(
        self, journal: list[RecordedEvent], live: Cut, rebuilt: Cut
    ) -> list[Compared | Comparison]:
        for (model, pool), cut in zip(self._pools.items(), (live, rebuilt), strict=True):
            deletes = [f"DELETE FROM {table};" for table in self._empty[model]]
            await pool.execute("".join(deletes) + BEGIN_AGAIN)
            await project(pool, model, journal, cut)
            await self._holds_everything(pool, journal)
        projections = Projections(self._pools[LIVE], Nowhere())
        return [each async for each in projections.compare(tenant="one", rows_max=10)]

    async def _holds_everything(self, pool: Pool, journal: list[RecordedEvent]) -> None:
        """Equal tables could be equally empty."""
        rows = await pool.fetch("SELECT tenant, position, recorded_at FROM event ORDER BY position")
        assert [
            (each.tenant, each.position, each.recorded_at.ToDatetime(tzinfo=UTC))
            for each in journal
        ] == [tuple(row) for row in rows]


@pytest.fixture(scope="module")
def world(new_database: Callable[[str], str]) -> Iterator[World]:
    with World(new_database("scoring")) as world:
        yield world


@settings(
    max_examples=STORIES,
    deadline=None,
    derandomize="TOUCHLEDGER_TEST_STORIES" not in os.environ,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(journal=journals(), live=cuts(), rebuilt=cuts())
def test_live_equals_rebuild(
    world: World, journal: list[RecordedEvent], live: Cut, rebuilt: Cut
) -> None:
    *tables, result = world.tell(journal, live, rebuilt)
    compared = [each for each in tables if isinstance(each, Compared)]
    assert [] == [each for each in compared if each.only_live or each.only_next]
    assert [] == [each for each in compared if each.uncompared]
    assert isinstance(result, Comparison)
    assert 0 == result.differing_rows
