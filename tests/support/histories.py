"""Random histories for questions: answers and what changes them later, of two tenants and two sources."""

from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

from tests.support.events import csat, event, nps
from tests.support.journals import recorded
from touchledger.v1 import events_pb2 as pb
from touchledger.v1.journal_pb2 import RecordedEvent

TENANTS = ("one", "two")
few = st.sampled_from
# The journals of the tests are recorded from 2026-08-03 12:00 on: some of it came late, some is of later.
# Around midnight, at ends of months and of summer time: there, the days of zones differ.
moments = few(
    [
        f"{day}T{time}Z"
        for day in ("2026-07-31", "2026-08-03", "2026-10-25", "2026-12-31")
        for time in ("00:30:00", "12:00:20", "22:30:00", "23:59:59.999999")
    ]
)
staged = st.fixed_dictionaries(
    {
        "stage": few(["STAGE_PURCHASE", "STAGE_SERVICE"]),
        "channel": few(["CHANNEL_STORE", "CHANNEL_PHONE"]),
        "service_mode": few(["SERVICE_MODE_SELF", "SERVICE_MODE_ASSISTED"]),
    }
)
signals = st.lists(
    st.one_of(
        st.integers(1, 5).map(lambda value: csat(str(value))),
        st.integers(0, 10).map(lambda value: nps(str(value))),
        few(["1.5", "6.25"]).map(lambda value: csat(value, scale_max="7")),
    ),
    max_size=2,
)
answers = st.builds(lambda body, given: body | {"signals": given}, staged, signals)
BODIES: dict[str, st.SearchStrategy[dict[str, Any]]] = {
    "feedback_received": answers,
    "interaction": staged,
    "feedback_requested": staged,
    "customer_profile": few(
        [
            {"birth_year_from": 1980, "birth_year_to": 1984},
            {"birth_year_from": 1950, "birth_year_to": 1954},
            {"segments": {"status": "silver"}},
        ]
    ),
    "staff_profile": few([{"group": "north"}, {"group": "south"}]),
    "identity": st.fixed_dictionaries(
        {
            "same_as": few(["ben", "card"]),
            "relation": few([*["IDENTITY_RELATION_SAME"] * 2, "IDENTITY_RELATION_DIFFERENT"]),
        }
    ),
}
# Answers are what scores are of.
bodies = few([*BODIES, "customer_profile", *["feedback_received"] * 6]).flatmap(
    lambda kind: st.tuples(st.just(kind), BODIES[kind])
)
# What a body can't be without, and who it is of when nobody is named.
NEEDS = {
    "customer_profile": ("customer", "ann"),
    "staff_profile": ("staff", "staff-1"),
    "identity": ("customer", "ann"),
}
# There is no correction of what these say.
UNCORRECTED = {"identity"}


@dataclass(frozen=True)
class Draft:
    """A fact; or what amends the fact before or after it in the list that `target` leads to."""

    tenant: str
    source: str
    kind: str
    body: dict[str, Any]
    said: str
    target: int
    envelope: dict[str, Any]


drafts = st.builds(
    lambda body, **fields: Draft(kind=body[0], body=body[1], **fields),
    body=bodies,
    tenant=few(["one", "one", "one", "two"]),
    source=few(["till", "till", "phone"]),
    said=few([*["as it is"] * 5, "correction", "correction", "retraction"]),
    target=st.integers(0, 99),
    envelope=st.fixed_dictionaries(
        {
            "occurred_at": moments,
            "touchpoint": few(["store.checkout", "call.billing"]),
            "customer": few(["", "ann", "ben", "card"]),
            "staff": few(["", "staff-1"]),
            "place": st.fixed_dictionaries({"store": few(["", "cologne"])}),
        }
    ),
)


@st.composite
def histories(draw: st.DrawFn) -> list[RecordedEvent]:
    """A journal from position 1 on. Amendments come after their target, before it, or find none."""
    # Left to itself, a list has some six.
    sent = draw(st.lists(drafts, min_size=20, max_size=40))
    return [
        recorded(_event(number, sent), number + 1, tenant=each.tenant, source=each.source)
        for number, each in enumerate(sent)
    ]


def _event(number: int, sent: list[Draft]) -> pb.Event:
    draft = sent[number]
    told = dict(draft.envelope)
    if draft.kind in NEEDS:
        needed, other = NEEDS[draft.kind]
        told[needed] = told[needed] or other
    if draft.said == "as it is":
        return event(event_id=f"fact {number}", **told, **{draft.kind: draft.body})
    # Corrections of another kind than their target's change nothing, and one test of that is enough.
    targets = [
        place
        for place, each in enumerate(sent)
        if (each.said, each.tenant) == ("as it is", draft.tenant)
        and (draft.said == "retraction" or each.kind == draft.kind)
    ]
    target = targets[draft.target % len(targets)] if targets else 99
    source = sent[target].source if targets else ""
    told["amends"] = {"event_id": f"fact {target}", "source": source}
    told["event_id"] = f"amendment {number}"
    if draft.said == "retraction" or draft.kind in UNCORRECTED:
        return event(**told, retraction={"reason": "test sale"})
    return event(**told, correction={"reason": "wrong key", draft.kind: draft.body})


FILTERS: tuple[tuple[str, st.SearchStrategy[Any]], ...] = (
    ("touchpoint_glob", st.just("store.*")),
    ("stage", st.just(["purchase"])),
    ("service_mode", st.just(["self", "unspecified"])),
    ("source", st.just(["till"])),
    ("generation", few([["millennial"], ["unspecified"]])),
    ("staff_group", few([["north"], ["unspecified"]])),
    ("occurred_from_date", few(["2026-08-01", "2026-10-26"])),
    ("occurred_before_time", few(["2026-10-25T12:00:00Z", "2026-12-31T23:00:00Z"])),
)
# Filters of a question, as JSON has them. More than two leave hardly anything.
cells: st.SearchStrategy[dict[str, Any]] = st.lists(
    st.one_of(*(st.tuples(st.just(name), values) for name, values in FILTERS)), max_size=2
).map(dict)
groupings = st.lists(
    few(
        [
            *("TOUCHPOINT", "STAGE", "CHANNEL", "SERVICE_MODE", "STORE", "STAFF_GROUP"),
            *("GENERATION", "SOURCE", "DAY", "WEEK", "MONTH"),
        ]
    ).map(lambda name: f"GROUP_BY_{name}"),
    min_size=1,
    max_size=3,
    unique=True,
)
