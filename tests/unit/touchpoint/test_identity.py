"""The stream of an event derives from tenant, source and event id: the same for the same, for ever."""

from uuid import RFC_4122, UUID

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from services.touchpoint.identity import originator_ids, originator_ids_of, publisher


def originator_id(tenant: str, source: str, event_id: str) -> UUID:
    [derived] = originator_ids(tenant, source, [event_id])
    return UUID(bytes=derived)


# A machine that is busy with the other tests is no finding.
unhurried = settings(deadline=None)
NAMES = st.text(min_size=1, max_size=40)
TRIPLES = st.tuples(NAMES, NAMES, NAMES)
UUID7S = st.builds(
    lambda time, rest: UUID(
        int=(time << 80) | (rest & ~(0xF << 76) & ~(0x3 << 62)) | (0x7 << 76) | (0x2 << 62)
    ),
    st.integers(min_value=0, max_value=(1 << 48) - 1),
    st.integers(min_value=0, max_value=(1 << 80) - 1),
)
IDS = st.one_of(NAMES, UUID7S.map(str))

# Computed once and written down: a database holds ids like these, so no release may give others.
GOLDEN = {
    ("default", "local", "event-1"): "23c13bf5-90c5-8c8b-ac27-eedcdd54d9c0",
    ("default", "till", "event-1"): "8c9e0c6d-29c0-80ea-a098-964575b5ed5c",
    ("acme", "local", "event-1"): "dfa263d6-40ed-898b-83d9-1849f270fb27",
    ("default", "local", ""): "64cd8a17-3f17-88e4-a08f-b2b554dcc9d0",
    ("Köln", "Kasse €", "Beleg 17 ☂"): "e83bc04f-1782-8597-aae4-a2b9eea8043f",
    (
        "default",
        "local",
        "01890a5d-ac96-774b-bcce-b302099a8057",
    ): "01890a5d-ac96-8c58-bd93-ba2e0760eb7f",
    (
        "default",
        "local",
        "01890A5D-AC96-774B-BCCE-B302099A8057",
    ): "749c00e0-8899-8908-84ea-7db641132175",
    (
        "default",
        "local",
        "01890a5d-ac96-474b-bcce-b302099a8057",
    ): "d56c2e4b-a99d-851c-aba7-c64988a86278",
}


@pytest.mark.parametrize(("triple", "expected"), GOLDEN.items())
def test_the_id_of_a_stored_event_never_changes(
    triple: tuple[str, str, str], expected: str
) -> None:
    assert expected == str(originator_id(*triple))


@unhurried
@given(NAMES, NAMES, IDS)
def test_the_same_three_give_the_same_id(tenant: str, source: str, event_id: str) -> None:
    assert originator_id(tenant, source, event_id) == originator_id(tenant, source, event_id)


@unhurried
@given(st.tuples(NAMES, NAMES, IDS), st.tuples(NAMES, NAMES, IDS))
def test_another_tenant_source_or_event_id_gives_another_id(
    one: tuple[str, str, str], other: tuple[str, str, str]
) -> None:
    assume(one != other)
    assert originator_id(*one) != originator_id(*other)


@unhurried
@given(TRIPLES, st.integers(min_value=0, max_value=2), NAMES)
def test_changing_any_one_of_the_three_changes_the_id(
    triple: tuple[str, str, str], index: int, instead: str
) -> None:
    assume(triple[index] != instead)
    changed = [*triple]
    changed[index] = instead
    assert originator_id(*triple) != originator_id(*changed)


@unhurried
@given(NAMES, UUID7S, NAMES, NAMES)
def test_one_uuid7_under_two_tenants_or_sources_gives_two_ids(
    tenant: str, event_id: UUID, source: str, other: str
) -> None:
    assume(other not in (tenant, source))
    ids = {
        originator_id(tenant, source, str(event_id)),
        originator_id(other, source, str(event_id)),
        originator_id(tenant, other, str(event_id)),
    }
    assert len(ids) == 3


@unhurried
@given(st.text(min_size=3, max_size=20), st.data())
def test_no_two_ways_to_cut_one_text_into_three_give_the_same_id(
    text: str, data: st.DataObject
) -> None:
    cuts = st.tuples(*[st.integers(min_value=0, max_value=len(text))] * 2).map(sorted)
    one, other = data.draw(cuts), data.draw(cuts)
    assume(one != other)

    def cut(at: list[int]) -> UUID:
        return originator_id(text[: at[0]], text[at[0] : at[1]], text[at[1] :])

    assert cut(one) != cut(other)


@unhurried
@given(NAMES, NAMES, UUID7S)
def test_a_lower_case_uuid7_keeps_its_time_and_nothing_else(
    tenant: str, source: str, event_id: UUID
) -> None:
    derived = originator_id(tenant, source, str(event_id))
    assert event_id.int >> 80 == derived.int >> 80
    assert event_id != derived


@unhurried
@given(NAMES, NAMES, st.lists(UUID7S, min_size=2, max_size=10))
def test_ids_of_uuid7s_sort_by_their_time(tenant: str, source: str, ids: list[UUID]) -> None:
    by_time = sorted(ids, key=lambda each: each.int >> 80)
    derived = [originator_id(tenant, source, str(each)).int >> 80 for each in by_time]
    assert derived == sorted(derived)


@unhurried
@given(NAMES, NAMES, UUID7S.map(lambda id_: str(id_).upper()))
def test_an_upper_case_uuid7_is_any_other_text(tenant: str, source: str, event_id: str) -> None:
    assume(event_id != event_id.lower())
    derived = originator_id(tenant, source, event_id)
    assert derived != originator_id(tenant, source, event_id.lower())


@unhurried
@given(NAMES, NAMES, IDS)
def test_every_id_is_a_custom_uuid_of_rfc_9562(tenant: str, source: str, event_id: str) -> None:
    derived = originator_id(tenant, source, event_id)
    assert derived.variant == RFC_4122
    # UUID.version of Python 3.11 is the bare number, whatever it is.
    assert (derived.int >> 76) & 0xF == 8
    assert UUID(str(derived)) == derived


@pytest.mark.parametrize(
    "event_id",
    [
        "01890a5d-ac96-474b-bcce-b302099a8057",  # version 4
        "01890a5d-ac96-774b-ccce-b302099a8057",  # another variant
        "01890a5dac96774bbcceb302099a8057",  # without hyphens
        "{01890a5d-ac96-774b-bcce-b302099a8057}",
        "01890a5d-ac96-774b-bcce-b302099a8057\n",
        "٠1890a5d-ac96-774b-bcce-b302099a8057",  # a digit that is not ASCII
    ],
)
def test_what_is_not_quite_a_uuid7_keeps_no_time(event_id: str) -> None:
    assert originator_id("default", "local", event_id).int >> 80 != 0x01890A5DAC96


@unhurried
@given(st.lists(IDS, max_size=20))
def test_many_ids_at_once_are_what_each_is_alone(event_ids: list[str]) -> None:
    """All of them UUIDv7s is another way through the code than some of them."""
    for some in (event_ids, [each for each in event_ids if len(each) == 36]):
        alone = [originator_id("acme", "till", each).bytes for each in some]
        assert alone == originator_ids("acme", "till", some)


def test_an_id_with_line_breaks_is_not_taken_for_several() -> None:
    uuid7 = "01890a5d-ac96-774b-bcce-b302099a8057"
    two = [f"{uuid7}\n{uuid7}", "x"]
    assert originator_ids("acme", "till", two) == [
        originator_id("acme", "till", each).bytes for each in two
    ]


@unhurried
@given(st.lists(st.tuples(NAMES, NAMES, IDS), min_size=1, max_size=6))
def test_ids_of_several_publishers_together_are_those_of_each_alone(
    triples: list[tuple[str, str, str]],
) -> None:
    alone = [originator_ids(tenant, source, [event])[0] for tenant, source, event in triples]
    publishers = [publisher(tenant, source) for tenant, source, _ in triples]
    assert alone == originator_ids_of(publishers, [event for _, _, event in triples])
