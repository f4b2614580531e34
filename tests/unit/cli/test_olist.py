"""What becomes of Olist's tables, and what is said of tables that can't be read."""

import json
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import pytest

from services.cli import olist
from services.cli.olist import OlistError
from tests.support.olist import TABLES, write_tables
from touchledger.v1 import events_pb2

OLIST = Path(__file__).parents[3].parent / "shared" / "data" / "olist"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_tables(tmp_path)


def change(folder: Path, name: str, old: str, new: str) -> None:
    text = (folder / name).read_text()
    assert old in text
    (folder / name).write_text(text.replace(old, new))


def by_id(folder: Path) -> dict[str, events_pb2.Event]:
    return {event.event_id: event for event in olist.read(folder)}


def at(event: events_pb2.Event) -> str:
    return datetime.fromtimestamp(event.occurred_at.seconds, UTC).isoformat()


def told(folder: Path) -> str:
    with pytest.raises(OlistError) as refused:
        olist.read(folder)
    return str(refused.value).removeprefix(f"{folder}/")


def test_an_order_is_a_journey_in_the_order_of_time(folder: Path) -> None:
    assert [event.event_id for event in olist.read(folder)] == [
        "purchase:o1",
        "promise:o1",
        "handover:o1",  # before the approval, as the data has it
        "approval:o1",
        "delivery:o1",
        "request:r1:o1",
        "feedback:r1:o1",
        "purchase:o2",
        "promise:o2",
        "request:r1:o2",
        "feedback:r1:o2",
    ]


def test_a_purchase_has_the_exact_sum_of_its_payments(folder: Path) -> None:
    purchase = by_id(folder)["purchase:o1"]
    expected = events_pb2.Event(
        event_id="purchase:o1",
        occurred_at=purchase.occurred_at,
        touchpoint="order.purchase",
        customer="person-1",
        correlation_id="o1",
        place={"time_zone": "America/Sao_Paulo"},
        attributes={"items": "2"},
        interaction={
            "stage": "STAGE_PURCHASE",
            "channel": "CHANNEL_WEB",
            "amount": {"amount": "129.95", "currency": "BRL"},
        },
    )
    assert (expected, "2017-07-10T00:57:05+00:00") == (purchase, at(purchase))


def test_an_order_without_payments_has_no_amount(folder: Path) -> None:
    assert not by_id(folder)["purchase:o2"].interaction.HasField("amount")


def test_whole_sums_keep_their_centavos(folder: Path) -> None:
    change(folder, "payments.csv", "29.95", "30")
    assert by_id(folder)["purchase:o1"].interaction.amount.amount == "130.00"


def test_every_order_has_its_promise_stated_before_the_experience(folder: Path) -> None:
    events = by_id(folder)
    promise = events["promise:o2"]
    assert promise.occurred_at == events["purchase:o2"].occurred_at
    assert promise.touchpoint == "order.delivery"
    assert promise.expectation.basis == events_pb2.EXPECTATION_BASIS_PROMISE
    assert promise.expectation.due_at.ToJsonString() == "2018-06-28T03:00:00Z"


def test_an_answer_carries_its_score_and_words_at_the_outcome(folder: Path) -> None:
    answer = by_id(folder)["feedback:r1:o1"]
    assert answer.touchpoint == "outcome.delivered"
    assert answer.personal.comment == "Bom\nChegou, enfim.\nRecomendo"
    assert answer.feedback_received == events_pb2.FeedbackReceived(
        stage="STAGE_DELIVERY",
        channel="CHANNEL_WEB",
        request_id="request:r1:o1",
        signals=[
            {
                "metric": "METRIC_CSAT",
                "value": "5",
                "scale_min": "1",
                "scale_max": "5",
                "direction": "DIRECTION_HIGHER_IS_BETTER",
            }
        ],
    )


def test_a_review_without_words_has_nothing_personal(folder: Path) -> None:
    assert not by_id(folder)["feedback:r1:o2"].HasField("personal")


def test_the_same_folder_gives_the_same_events(folder: Path) -> None:
    assert olist.read(folder) == olist.read(folder)


def test_a_row_that_repeats_exactly_gives_the_same_event_again(folder: Path) -> None:
    row = "r1,o2,1,,,2018-06-30 00:00:00,2018-07-01 08:00:00\n"
    change(folder, "reviews.csv", row, row + row)
    events = [event for event in olist.read(folder) if event.event_id == "feedback:r1:o2"]
    assert (len(events), events[0] == events[1]) == (2, True)


@pytest.mark.parametrize(
    ("local", "utc"),
    [
        # Clocks went from 00:00 to 01:00: midnight did not exist.
        ("2017-10-15 00:00:00", "2017-10-15T03:00:00+00:00"),
        # Clocks went back from 24:00 to 23:00: the first of the two.
        ("2018-02-17 23:30:00", "2018-02-18T01:30:00+00:00"),
        ("2018-02-18 00:00:00", "2018-02-18T03:00:00+00:00"),
    ],
)
def test_times_at_a_change_of_clocks_are_the_earlier_moment(
    folder: Path, local: str, utc: str
) -> None:
    change(folder, "reviews.csv", "2017-07-27 00:00:00", local)
    assert utc == at(by_id(folder)["request:r1:o1"])


def test_a_value_outside_the_scale_is_left_to_the_gateway(folder: Path) -> None:
    change(folder, "reviews.csv", "r1,o2,1", "r1,o2,6")
    assert by_id(folder)["feedback:r1:o2"].feedback_received.signals[0].value == "6"


def test_a_byte_order_mark_and_dos_line_ends_do_no_harm(folder: Path) -> None:
    before = olist.read(folder)
    for name, text in TABLES.items():
        if name != "reviews.csv":  # its comment has a line end of its own
            (folder / name).write_bytes(b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode())
    assert before == olist.read(folder)


def test_a_missing_file_is_named(folder: Path) -> None:
    (folder / "payments.csv").unlink()
    assert told(folder) == (
        "payments.csv: cannot be read (No such file or directory), want the tables "
        "customers.csv, items.csv, orders.csv, payments.csv, reviews.csv"
    )


def test_a_missing_column_is_named(folder: Path) -> None:
    change(folder, "payments.csv", "payment_value", "value")
    assert told(folder) == (
        "payments.csv line 1 column payment_value: "
        "got the columns order_id, payment_sequential, value, want it once"
    )


def test_an_empty_file_lacks_its_columns(folder: Path) -> None:
    (folder / "items.csv").write_text("")
    assert told(folder) == "items.csv line 1 column order_id: got the columns nothing, want it once"


@pytest.mark.parametrize("time", ["2018-06-31 00:00:00", "30/06/2018", "2018-06-30T00:00:00Z", ""])
def test_what_is_no_time_is_named_by_file_line_and_column(folder: Path, time: str) -> None:
    change(folder, "reviews.csv", "2018-06-30 00:00:00", time)
    got = repr(time) if time else "nothing"
    # The first review's comment takes two lines.
    assert told(folder) == (
        f"reviews.csv line 4 column review_creation_date: got {got}, "
        "want a time YYYY-MM-DD HH:MM:SS"
    )


@pytest.mark.parametrize("time", ["9999-12-31 23:59:59", "0000-01-01 00:00:00"])
def test_a_time_that_no_event_can_have_is_no_crash(folder: Path, time: str) -> None:
    change(folder, "orders.csv", "2018-06-28 00:00:00", time)
    assert "orders.csv line 2 column order_estimated_delivery_date" in told(folder)


@pytest.mark.parametrize("number", ["", "1,5", "1e3", "NaN", "1_0", "0.1234567"])
def test_what_is_no_number_is_named_by_file_line_and_column(folder: Path, number: str) -> None:
    change(folder, "payments.csv", "29.95", f'"{number}"')
    got = repr(number) if number else "nothing"
    assert told(folder) == (
        f"payments.csv line 4 column payment_value: got {got}, want a number such as 129.90"
    )


@pytest.mark.parametrize(
    ("name", "old", "new", "message"),
    [
        ("orders.csv", "o2,c2", "o2,c9", "orders.csv line 2 column customer_id: got 'c9'"),
        ("reviews.csv", "r1,o2", "r1,o9", "reviews.csv line 4 column order_id: got 'o9'"),
        ("payments.csv", "o1,3", "o9,3", "payments.csv line 4 column order_id: got 'o9'"),
        ("reviews.csv", "r1,o2", ",o2", "reviews.csv line 4 column review_id: got nothing"),
        ("orders.csv", "canceled", "", "orders.csv line 2 column order_status: got nothing"),
        ("items.csv", "o1,2,29.9", "o1,2", "items.csv line 3: got 2 columns, want 3"),
        ("reviews.csv", 'Recomendo"', "Recomendo", "reviews.csv line 2: "),
    ],
)
def test_rows_that_fit_nothing_are_named(
    folder: Path, name: str, old: str, new: str, message: str
) -> None:
    change(folder, name, old, new)
    assert told(folder).startswith(message)


def test_what_is_not_utf8_is_named_by_its_line(folder: Path) -> None:
    text = (folder / "reviews.csv").read_bytes()
    (folder / "reviews.csv").write_bytes(text.replace(b"Recomendo", b"\xe9"))
    assert told(folder) == "reviews.csv line 3: got byte 0xe9, want UTF-8"


def test_the_sample_gives_as_many_events_as_expected() -> None:
    if not OLIST.is_dir():
        pytest.skip(f"NOT TESTED: the Olist sample is not in {OLIST}")
    expected = json.loads((OLIST / "expected.json").read_text())
    events = olist.read(OLIST)
    kinds = Counter(event.event_id.split(":")[0] for event in events)
    assert kinds == {
        "purchase": expected["events"]["purchase"],
        "promise": expected["orders"],
        "approval": expected["events"]["approval"],
        "handover": expected["events"]["handover"],
        "delivery": expected["events"]["delivery"],
        "request": expected["events"]["feedback_requested"],
        "feedback": expected["events"]["feedback_received"],
    }
    assert len({event.event_id for event in events}) == len(events)
    assert len({event.customer for event in events}) == expected["customers"]
    assert events == sorted(events, key=lambda event: event.occurred_at.seconds)
