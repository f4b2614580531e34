"""What is encoded by hand is what the library would have written."""

import pytest

from services.chassis.wire import counting, varint, with_length
from touchledger.v1.journal_pb2 import AppendResponse, AppendResult, Position

RESULTS, POSITION = b"\x0a", b"\x08\x01\x10"
# Where a varint gets longer, and where its lowest byte begins again.
EDGES = [1, 2, 126, 127, 128, 129, 255, 256, 16_383, 16_384, 16_385, 2**21 - 1, 2**28, 2**63]


@pytest.mark.parametrize("number", EDGES)
def test_a_number_is_encoded_as_the_library_does(number: int) -> None:
    assert Position(number=number).SerializeToString() == b"\x10" + varint(number)


def test_zero_is_one_byte() -> None:
    assert varint(0) == b"\x00"


@pytest.mark.parametrize("size", [0, 1, 127, 128, 70_000])
def test_a_text_is_encoded_with_its_length(size: int) -> None:
    assert Position.FromString(with_length(b"\x0a", b"x" * size)).journal_id == "x" * size


@pytest.mark.parametrize("first", [*EDGES[:-1], 100, 2**21 - 130])
@pytest.mark.parametrize("count", [1, 2, 128, 129, 500])
def test_messages_that_count_are_those_that_are_made_one_by_one(first: int, count: int) -> None:
    one_by_one = AppendResponse(
        results=[
            AppendResult(status=AppendResult.STATUS_RECORDED, position=position)
            for position in range(first, first + count)
        ]
    )

    def before(size: int) -> bytes:
        return RESULTS + varint(len(POSITION) + size) + POSITION

    assert one_by_one.SerializeToString() == counting(before, first, count)


def test_none_are_nothing() -> None:
    assert counting(varint, 1, 0) == b""
