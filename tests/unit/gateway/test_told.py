"""What a publisher is told of events that the journal took: the same at once and one by one."""

import pytest

from services.gateway import upstream
from touchledger.v1 import ingest_pb2
from touchledger.v1.ingest_pb2 import PublishBatchResponse, PublishResult
from touchledger.v1.journal_pb2 import AppendResponse, AppendResult, Position

JOURNAL_ID = "0f3c1f0e-6a53-4f0a-9f0e-2b1d8a2f7c11"
RECORDED, DUPLICATE = AppendResult.STATUS_RECORDED, AppendResult.STATUS_DUPLICATE
MANY = 4 * upstream.MANY_RESULTS


def stored(*results: tuple[AppendResult.Status, int]) -> AppendResponse:
    return AppendResponse(
        journal_id=JOURNAL_ID,
        results=[AppendResult(status=status, position=position) for status, position in results],
    )


def result(disposition: ingest_pb2.Disposition, number: int) -> PublishResult:
    return PublishResult(
        disposition=disposition, position=Position(journal_id=JOURNAL_ID, number=number)
    )


@pytest.mark.parametrize("count", [1, upstream.MANY_RESULTS - 1, upstream.MANY_RESULTS, 500])
@pytest.mark.parametrize("first", [1, 100, 127, 128, 16_300, 2**40])
def test_recorded_ones_are_told_with_their_positions(first: int, count: int) -> None:
    positions = range(first, first + count)
    answer = upstream._told(stored(*((RECORDED, position) for position in positions)))
    expected = [result(ingest_pb2.DISPOSITION_RECORDED, position) for position in positions]
    assert PublishBatchResponse(results=expected) == answer


def test_one_that_was_stored_before_is_told_among_recorded_ones() -> None:
    given = [(RECORDED, position) for position in range(900, 900 + MANY)]
    given[3] = DUPLICATE, 7
    dispositions = [
        (each.disposition, each.position.number) for each in upstream._told(stored(*given)).results
    ]
    expected = [(ingest_pb2.DISPOSITION_RECORDED, position) for _, position in given]
    expected[3] = ingest_pb2.DISPOSITION_DUPLICATE, 7
    assert expected == dispositions


def test_positions_that_do_not_follow_each_other_are_told_as_they_are() -> None:
    given = [(RECORDED, position) for position in range(900, 900 + MANY)]
    given[-1] = RECORDED, 5000
    numbers = [each.position.number for each in upstream._told(stored(*given)).results]
    assert [position for _, position in given] == numbers


def test_another_content_is_told_among_recorded_ones() -> None:
    given = [(RECORDED, position) for position in range(900, 900 + MANY)]
    given[5] = AppendResult.STATUS_CONFLICT, 17
    answer = upstream._told(stored(*given))
    assert "EVENT_ID_CONFLICT" == answer.results[5].problem.code
    assert not answer.results[5].HasField("position")
    assert MANY - 1 == sum(each.HasField("position") for each in answer.results)
