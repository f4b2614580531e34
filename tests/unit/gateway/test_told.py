"""What a publisher is told of events that the journal took."""

import pytest

from services.gateway import upstream
from services.gateway.coalescing import Stored
from touchledger.v1 import ingest_pb2
from touchledger.v1.ingest_pb2 import PublishBatchResponse, PublishResult
from touchledger.v1.journal_pb2 import AppendResult, Position

JOURNAL_ID = "0f3c1f0e-6a53-4f0a-9f0e-2b1d8a2f7c11"
RECORDED, DUPLICATE = AppendResult.STATUS_RECORDED, AppendResult.STATUS_DUPLICATE


def told(*results: tuple[AppendResult.Status, int]) -> PublishBatchResponse:
    made = [AppendResult(status=status, position=position) for status, position in results]
    return upstream._told(Stored(JOURNAL_ID, made))


def result(disposition: ingest_pb2.Disposition, number: int) -> PublishResult:
    return PublishResult(
        disposition=disposition, position=Position(journal_id=JOURNAL_ID, number=number)
    )


@pytest.mark.parametrize("count", [1, 2, 500])
@pytest.mark.parametrize("first", [1, 127, 16_300, 2**40])
def test_recorded_ones_are_told_with_their_positions(first: int, count: int) -> None:
    positions = range(first, first + count)
    expected = [result(ingest_pb2.DISPOSITION_RECORDED, position) for position in positions]
    answer = told(*((RECORDED, position) for position in positions))
    assert PublishBatchResponse(results=expected) == answer


def test_one_that_was_stored_before_is_told_among_recorded_ones() -> None:
    answer = told((RECORDED, 900), (DUPLICATE, 7), (RECORDED, 901))
    expected = [
        result(ingest_pb2.DISPOSITION_RECORDED, 900),
        result(ingest_pb2.DISPOSITION_DUPLICATE, 7),
        result(ingest_pb2.DISPOSITION_RECORDED, 901),
    ]
    assert expected == list(answer.results)


def test_another_content_is_told_among_recorded_ones() -> None:
    answer = told((RECORDED, 900), (AppendResult.STATUS_CONFLICT, 17), (RECORDED, 901))
    assert "EVENT_ID_CONFLICT" == answer.results[1].problem.code
    assert [True, False, True] == [each.HasField("position") for each in answer.results]
