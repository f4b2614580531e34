"""Rows that are encoded together are those that are encoded request by request."""

from dataclasses import replace

from services.touchpoint.row import encode, encode_many
from tests.support.entries import attempt, entry


def test_rows_of_several_requests_are_those_of_each_alone() -> None:
    attempts = [attempt(), replace(attempt(), tenant="other", traceparent=""), attempt()]
    given = [[entry("a"), entry("b")], [entry("c")], [entry("d"), entry("e"), entry("f")]]
    columns = [
        list(column) for column in zip(*(each for some in given for each in some), strict=True)
    ]
    together = encode_many(
        [(each, len(some)) for each, some in zip(attempts, given, strict=True)], *columns
    )
    alone = [encode(each, some) for each, some in zip(attempts, given, strict=True)]
    assert alone == together
