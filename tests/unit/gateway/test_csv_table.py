"""An answer as CSV is what it says, whatever the texts in it are, and no spreadsheet runs any of them."""

import csv
import io

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.csv_table import NUMBER, csv_table, safe, short_name
from touchledger.v1 import scoring_pb2 as pb
from touchledger.v1.journal_pb2 import Position

AS_OF = Position(journal_id="j", number=17)


def lines(text: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(text, newline=""), strict=True))


def scores(*given: pb.Score) -> pb.GetScoresResponse:
    return pb.GetScoresResponse(
        scores=given, as_of_position=AS_OF, formula_version="csat/1", reporting_zone="UTC"
    )


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text, newline=""), strict=True))


def test_a_group_is_a_line_with_its_keys_first_and_what_is_said_of_all_last() -> None:
    answer = scores(
        pb.Score(
            group="a | 2026-08-01",
            keys={"touchpoint": "a", "month_start": "2026-08-01"},
            counts={"asked": 3, "answered": 2},
            sums={"csat_sum": "8.5"},
            scores={"csat_mean": 4.25},
        ),
        pb.Score(
            group="b | 2026-08-01",
            keys={"touchpoint": "b", "month_start": "2026-08-01"},
            counts={"asked": 1, "answered": 0},
            sums={"csat_sum": "0"},
        ),
    )
    answer.freshness.lag = 4
    header, first, second = lines(csv_table(answer))
    assert [
        *("month_start", "touchpoint", "answered", "asked", "csat_mean", "csat_sum"),
        *("as_of_position", "formula_version", "reporting_zone"),
        *("freshness_position", "freshness_recorded_at", "freshness_head", "freshness_lag"),
    ] == header
    assert ["2026-08-01", "a", "2", "3", "4.25", "8.5", "17", "csat/1", "UTC"] == first[:9]
    # Nobody answered: that is no number.
    assert ["2026-08-01", "b", "0", "1", "", "0", "17", "csat/1", "UTC"] == second[:9]
    assert ["", "", "0", "4"] == first[9:]


def test_the_columns_that_were_asked_for_are_there_in_their_order_whoever_answered() -> None:
    answer = scores(pb.Score(keys={"stage": "use"}, counts={"answered": 0}))
    header, _ = lines(csv_table(answer, ["nps", "answered"]))
    assert ["stage", "nps", "answered"] == header[:3]


def test_an_answer_without_lines_has_its_header() -> None:
    assert [["as_of_position", "formula_version", "reporting_zone"]] == [
        line[:3] for line in lines(csv_table(scores()))
    ]


def test_an_answer_of_one_thing_is_one_line() -> None:
    status = pb.GetStatusResponse(
        head=Position(number=9),
        checkpoint=Position(number=7),
        lag=2,
        checkpoint_recorded_at=Timestamp(seconds=0),
        events={"touchledger.interaction.v1": 7},
    )
    [row] = rows(csv_table(status))
    assert ("9", "7", "2", "0", "1970-01-01T00:00:00Z", "7") == tuple(
        row[name]
        for name in (
            *("head", "checkpoint", "lag", "missing_positions", "checkpoint_recorded_at"),
            "touchledger.interaction.v1",
        )
    )


def test_facts_have_their_details_as_columns() -> None:
    fact = pb.JourneyFact(table="fact_interaction", position=5, details={"outcome": "completed"})
    answer = pb.GetJourneyResponse(facts=[fact], as_of_position=AS_OF)
    answer.stages.add(stage="purchase", facts=1)
    [row] = rows(csv_table(answer))
    assert ("fact_interaction", "5", "", "completed", "17") == (
        *(row["table"], row["position"], row["occurred_at"], row["outcome"]),
        row["as_of_position"],
    )


def test_what_is_named_comes_first_and_then_what_came_with_it() -> None:
    answer = scores(
        pb.Score(
            keys={"touchpoint": "a"},
            counts={"asked": 3, "promises": 2},
            scores={"promise_kept_share": 0.5, "promise_kept_share_lo": 0.1},
        )
    )
    header, line, *_ = lines(csv_table(answer, ["nps", "promise_kept_share"]))
    assert [
        *("touchpoint", "nps", "promise_kept_share"),
        *("asked", "promise_kept_share_lo", "promises"),
    ] == header[:6]
    assert ["a", "", "0.5", "3", "0.1", "2"] == line[:6]


def test_a_message_that_is_absent_has_empty_cells() -> None:
    answer = pb.GetBridgeResponse(parts=[{}], now=pb.BridgeState(score="nps"))
    header, line = lines(csv_table(answer))
    told = dict(zip(header, line, strict=True))
    assert ("", "nps") == (told["seen_score"], told["now_score"])
    assert ("", "") == (told["freshness_head"], told["freshness_lag"])


def test_names_of_enums_are_those_of_schema_bi() -> None:
    answer = pb.GetBridgeResponse(difference="-0.13")
    answer.parts.add(cause=pb.BRIDGE_CAUSE_LATE_ARRIVALS, difference="-0.13", value="4.08")
    answer.now.score = "csat_mean"
    [row] = rows(csv_table(answer))
    assert ("late_arrivals", "-0.13", "4.08", "csat_mean") == (
        *(row["cause"], row["difference"], row["value"]),
        row["now_score"],
    )
    assert "77" == short_name(pb.DESCRIPTOR.enum_types_by_name["BridgeCause"], 77)


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        ("store.checkout", "store.checkout"),
        ("=1+1", "'=1+1"),
        ("+49 221 1", "'+49 221 1"),
        ("-a", "'-a"),
        ("-", "'-"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\t=1", '"\'\t=1"'),
        ("\r=1", '"\'\r=1"'),
        ("\n=1", '"\'\n=1"'),
        ("＝1", "'＝1"),
        ('=HYPERLINK("http://a.example","b")', '"\'=HYPERLINK(""http://a.example"",""b"")"'),
        ("a;=1+1", '"a;=1+1"'),
        ("a,b", '"a,b"'),
        ('say "hi"', '"say ""hi"""'),
        ("-0.5", "-0.5"),
        ("-17", "-17"),
        ("-1e-07", "-1e-07"),
        ("2026-08-01", "2026-08-01"),
        ("-1-1", "'-1-1"),
        ("-1e5+A1", "'-1e5+A1"),
        ("", ""),
    ],
)
def test_no_cell_is_run(text: str, cell: str) -> None:
    assert cell == safe(text)


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=8), min_size=1))
def test_whatever_the_texts_are_they_come_back_and_begin_with_nothing_that_is_run(
    texts: list[str],
) -> None:
    answer = scores(*(pb.Score(keys={"store": text}) for text in texts))
    found = [row["store"] for row in rows(csv_table(answer))]
    assert texts == [
        cell.removeprefix("'") if text != cell else cell
        for text, cell in zip(texts, found, strict=True)
    ]
    for cell in found:
        assert not cell.startswith(tuple("=+-@\t\r\n")) or NUMBER.fullmatch(cell)
