"""Reads the order tables of Olist, a Brazilian marketplace, as events; the same folder gives the same ones.

Odd data is kept: hand-over before approval, reviews before delivery, "delivered" without a time. What
can't be read at all is an OlistError that names file, line, column, what came and what is wanted.
"""

import csv
import io
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import NoReturn
from zoneinfo import ZoneInfo

from google.protobuf import timestamp_pb2

from touchledger.v1 import events_pb2

TIME_ZONE = "America/Sao_Paulo"
ZONE = ZoneInfo(TIME_ZONE)

# The tables, and the columns that are read of each.
TABLES = {
    "customers.csv": ("customer_id", "customer_unique_id"),
    "items.csv": ("order_id",),
    "orders.csv": (
        "order_id",
        "customer_id",
        "order_status",
        "order_purchase_timestamp",
        "order_approved_at",
        "order_delivered_carrier_date",
        "order_delivered_customer_date",
        "order_estimated_delivery_date",
    ),
    "payments.csv": ("order_id", "payment_value"),
    "reviews.csv": (
        "review_id",
        "order_id",
        "review_score",
        "review_comment_title",
        "review_comment_message",
        "review_creation_date",
        "review_answer_timestamp",
    ),
}


class OlistError(Exception):
    """The folder can't be read as Olist's tables, as one line for a person."""


def read(folder: Path) -> list[events_pb2.Event]:
    """All events of the folder in the order of occurred_at. Raises OlistError."""
    tables = {name: list(_rows(folder / name, columns)) for name, columns in TABLES.items()}
    customers = {row["customer_id"]: row["customer_unique_id"] for row in tables["customers.csv"]}
    orders = {row["order_id"]: _order(row, customers) for row in tables["orders.csv"]}

    paid: defaultdict[str, Decimal] = defaultdict(Decimal)
    for row in tables["payments.csv"]:
        paid[_known(row, "order_id", orders, "orders.csv")] += _number(row, "payment_value")
    items = Counter(_known(row, "order_id", orders, "orders.csv") for row in tables["items.csv"])

    events: list[events_pb2.Event] = []
    for row in tables["orders.csv"]:
        order = orders[row["order_id"]]
        events += _order_events(row, order, paid.get(order.id), items[order.id])
    for row in tables["reviews.csv"]:
        events += _review_events(row, orders[_known(row, "order_id", orders, "orders.csv")])
    # Stable: what occurred in the same second stays in the order of a journey, promise before delivery.
    events.sort(key=lambda event: event.occurred_at.seconds)
    return events


@dataclass(frozen=True, slots=True)
class _Row:
    file: Path
    line: int
    values: dict[str, str]

    def __getitem__(self, column: str) -> str:
        return self.values[column]

    def fail(self, column: str, want: str) -> NoReturn:
        got = self.values[column]
        shown = repr(got if len(got) <= 40 else got[:39] + "…") if got else "nothing"
        raise OlistError(f"{self.file} line {self.line} column {column}: got {shown}, want {want}")


@dataclass(frozen=True, slots=True)
class _Order:
    id: str
    customer: str
    status: str


def _order(row: _Row, customers: dict[str, str]) -> _Order:
    customer = customers[_known(row, "customer_id", customers, "customers.csv")]
    return _Order(_filled(row, "order_id"), customer, _filled(row, "order_status"))


def _order_events(
    row: _Row, order: _Order, paid: Decimal | None, items: int
) -> Iterator[events_pb2.Event]:
    purchased = _time(row, "order_purchase_timestamp")
    purchase = _event(f"purchase:{order.id}", purchased, "order.purchase", order)
    purchase.interaction.stage = events_pb2.STAGE_PURCHASE
    purchase.interaction.channel = events_pb2.CHANNEL_WEB
    if paid is not None:  # one order of the whole data set has no payment
        purchase.interaction.amount.amount = _money(paid)
        purchase.interaction.amount.currency = "BRL"
    if items:
        purchase.attributes["items"] = str(items)
    yield purchase

    # The promise exists even where the delivery never came, and was made with the purchase.
    promise = _event(f"promise:{order.id}", purchased, "order.delivery", order)
    promise.expectation.basis = events_pb2.EXPECTATION_BASIS_PROMISE
    promise.expectation.due_at.CopyFrom(_time(row, "order_estimated_delivery_date"))
    yield promise

    steps = (
        ("approval", "order_approved_at", events_pb2.STAGE_PURCHASE, events_pb2.CHANNEL_WEB),
        (
            "handover",
            "order_delivered_carrier_date",
            events_pb2.STAGE_DELIVERY,
            events_pb2.CHANNEL_POST,
        ),
        (
            "delivery",
            "order_delivered_customer_date",
            events_pb2.STAGE_DELIVERY,
            events_pb2.CHANNEL_POST,
        ),
    )
    for name, column, stage, channel in steps:
        if row[column]:
            event = _event(f"{name}:{order.id}", _time(row, column), f"order.{name}", order)
            event.interaction.stage = stage
            event.interaction.channel = channel
            yield event


def _review_events(row: _Row, order: _Order) -> Iterator[events_pb2.Event]:
    # A review id alone is not unique: some are used for several orders.
    name = f"{_filled(row, 'review_id')}:{order.id}"
    touchpoint = f"outcome.{order.status}"

    request = _event(f"request:{name}", _time(row, "review_creation_date"), touchpoint, order)
    request.feedback_requested.stage = events_pb2.STAGE_DELIVERY
    request.feedback_requested.channel = events_pb2.CHANNEL_WEB
    # Olist asks by e-mail once the order has come, or was due.
    request.feedback_requested.asked_via = events_pb2.CHANNEL_EMAIL
    yield request

    answer = _event(f"feedback:{name}", _time(row, "review_answer_timestamp"), touchpoint, order)
    answer.feedback_received.stage = events_pb2.STAGE_DELIVERY
    answer.feedback_received.channel = events_pb2.CHANNEL_WEB
    answer.feedback_received.request_id = request.event_id
    answer.feedback_received.signals.add(
        metric=events_pb2.METRIC_CSAT,
        value=f"{_number(row, 'review_score'):f}",
        scale_min="1",
        scale_max="5",
        direction=events_pb2.DIRECTION_HIGHER_IS_BETTER,
    )
    words = (row["review_comment_title"], row["review_comment_message"])
    comment = "\n".join(each for each in words if each.strip())
    if comment:
        answer.personal.comment = comment
    yield answer


def _event(
    event_id: str, occurred_at: timestamp_pb2.Timestamp, touchpoint: str, order: _Order
) -> events_pb2.Event:
    return events_pb2.Event(
        event_id=event_id,
        occurred_at=occurred_at,
        touchpoint=touchpoint,
        customer=order.customer,
        correlation_id=order.id,
        place=events_pb2.Place(time_zone=TIME_ZONE),
    )


def _rows(file: Path, columns: tuple[str, ...]) -> Iterator[_Row]:
    reader = csv.reader(io.StringIO(_text(file), newline=""), strict=True)
    header: list[str] | None = None
    line = 1
    try:
        for values in reader:
            if header is None:
                header = values
                _check_header(file, header, columns)
            elif values:
                if len(values) != len(header):
                    raise OlistError(
                        f"{file} line {line}: got {len(values)} columns, want {len(header)}"
                    )
                yield _Row(file, line, dict(zip(header, values, strict=True)))
            # A quoted comment may hold line ends; a row is named by the line that it begins on.
            line = reader.line_num + 1
    except csv.Error as error:
        raise OlistError(f"{file} line {line}: {error}, want comma-separated values") from error
    if header is None:
        _check_header(file, [], columns)


def _text(file: Path) -> str:
    try:
        data = file.read_bytes()
    except OSError as error:
        raise OlistError(
            f"{file}: cannot be read ({error.strerror}), want the tables {', '.join(TABLES)}"
        ) from error
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        got = f"byte 0x{data[error.start]:02x}"
        raise OlistError(f"{file} line {line}: got {got}, want UTF-8") from error


def _check_header(file: Path, header: list[str], columns: tuple[str, ...]) -> None:
    for column in columns:
        if header.count(column) != 1:
            got = ", ".join(header) or "nothing"
            raise OlistError(f"{file} line 1 column {column}: got the columns {got}, want it once")


def _filled(row: _Row, column: str) -> str:
    if not row[column]:
        row.fail(column, "a value")
    return row[column]


def _known(row: _Row, column: str, known: Mapping[str, object], file: str) -> str:
    if row[column] not in known:
        row.fail(column, f"one that {file} has")
    return row[column]


_TIME = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", re.ASCII)


def _time(row: _Row, column: str) -> timestamp_pb2.Timestamp:
    want = "a time YYYY-MM-DD HH:MM:SS"
    if not _TIME.fullmatch(row[column]):
        row.fail(column, want)
    timestamp = timestamp_pb2.Timestamp()
    try:
        # Clocks were put forward at midnight, and review_creation_date is always midnight: fold 0 takes a
        # time that did not exist as the moment of the change, and of a time that came twice the first.
        moment = datetime.fromisoformat(row[column]).replace(tzinfo=ZONE, fold=0)
        timestamp.FromDatetime(moment)
    except (ValueError, OverflowError):
        row.fail(column, want)
    return timestamp


_NUMBER = re.compile(r"-?\d{1,15}(\.\d{1,6})?", re.ASCII)


def _number(row: _Row, column: str) -> Decimal:
    if not _NUMBER.fullmatch(row[column]):
        row.fail(column, "a number such as 129.90")
    return Decimal(row[column])


def _money(amount: Decimal) -> str:
    """Exact, with centavos even where the table leaves the last zero out."""
    exponent = amount.as_tuple().exponent
    return f"{amount:.2f}" if isinstance(exponent, int) and exponent > -2 else f"{amount:f}"
