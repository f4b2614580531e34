"""What is encoded by hand is what the library would have written."""

from hypothesis import given
from hypothesis import strategies as st

from services.chassis.wire import repeated, varint, with_length
from touchledger.v1.journal_pb2 import AppendManyRequest, AppendRequest, Position

# Where a varint gets longer.
EDGES = [0, 1, 127, 128, 129, 16_383, 16_384, 16_385, 2**21 - 1, 2**21, 2**28, 2**63, 2**64 - 1]
NUMBERS = st.sampled_from(EDGES) | st.integers(0, 2**64 - 1)
SIZES = st.sampled_from([0, 1, 127, 128, 16_383, 16_384, 70_000]) | st.integers(0, 300)


@given(NUMBERS)
def test_a_number_is_encoded_as_the_library_does(number: int) -> None:
    library = Position(number=number).SerializeToString()
    # The library leaves out a number that is 0.
    assert library == (b"\x10" + varint(number) if number else b"")


def test_zero_is_one_byte() -> None:
    assert varint(0) == b"\x00"


@given(SIZES)
def test_a_text_is_encoded_as_the_library_does(size: int) -> None:
    text = "x" * size
    library = Position(journal_id=text).SerializeToString()
    assert library == (with_length(b"\x0a", text.encode()) if size else b"")


@given(st.lists(st.text(max_size=200), max_size=5), NUMBERS)
def test_messages_side_by_side_are_one_message(tenants: list[str], number: int) -> None:
    requests = [AppendRequest(tenant=tenant) for tenant in tenants]
    by_hand = b"".join([with_length(b"\x0a", each.SerializeToString()) for each in requests])
    assert AppendManyRequest(requests=requests).SerializeToString() == by_hand
    assert by_hand == repeated(b"\x0a", [each.SerializeToString() for each in requests])
    beside = Position(journal_id="a").SerializeToString() + b"\x10" + varint(number)
    assert Position(journal_id="a", number=number) == Position.FromString(beside)
