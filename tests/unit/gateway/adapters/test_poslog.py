"""A POSLog's transactions become interactions: those of customers, each once, at the right moment."""

from typing import Any

import pytest

from services.chassis.errors import Malformed, Unauthenticated
from services.gateway.adapters.poslog import ADAPTER, DEPTH_MAX, ELEMENTS_MAX
from services.gateway.checks import problem_of
from tests.unit.gateway.adapters.golden_payloads import delivery, golden
from touchledger import event_json
from touchledger.v1 import events_pb2 as pb
from touchledger.v1.events_pb2 import Event
from touchledger.v1.problem_pb2 import Problem

CONFIG = {
    "time_zone": "Europe/Berlin",
    "time_zones": {"0031": "Atlantic/Canary"},
    "currency": "EUR",
}
SECRET = "a long shared secret"

GOLDEN = golden("poslog_sale.xml").body.decode()


def read(body: str | bytes, config: dict[str, Any] = CONFIG) -> list[Event | Problem]:
    raw = body.encode() if isinstance(body, str) else body
    return ADAPTER.read(delivery(raw), config)


def transaction(
    inside: str = "<RetailTransaction/>",
    *,
    flags: str = "",
    store: str = "0017",
    times: str = "<EndDateTime>2026-08-03T12:00:00</EndDateTime>",
    sequence: str = "1",
    more: str = "",
) -> str:
    return (
        f"<Transaction {flags}><RetailStoreID>{store}</RetailStoreID><WorkstationID>3</WorkstationID>"
        f"<SequenceNumber>{sequence}</SequenceNumber><BusinessDayDate>2026-08-03</BusinessDayDate>"
        f"{times}<CurrencyCode>EUR</CurrencyCode>{more}{inside}</Transaction>"
    )


def only(body: str, config: dict[str, Any] = CONFIG) -> Event:
    [event] = read(body, config)
    assert isinstance(event, Event), event
    assert problem_of(event) is None
    return event


def trouble(body: str | bytes, config: dict[str, Any] = CONFIG) -> tuple[str, str]:
    [problem] = read(body, config)
    assert isinstance(problem, Problem), problem
    return problem.code, problem.field


def test_a_finished_sale_is_one_interaction_and_a_sign_off_is_none() -> None:
    expected = event_json.read(
        {
            "event_id": "0017/3/2026-08-02/4411",
            # Half past midnight in Germany, on the business day before.
            "occurred_at": "2026-08-02T23:00:40Z",
            "touchpoint": "store.checkout",
            "customer": "member-9",
            "staff": "712",
            "place": {
                "store": "0017",
                "device": "3",
                "business_date": "2026-08-02",
                "time_zone": "Europe/Berlin",
            },
            "interaction": {
                "stage": "STAGE_PURCHASE",
                "channel": "CHANNEL_STORE",
                "outcome": "OUTCOME_COMPLETED",
                "duration": "150s",
                "amount": {"amount": "12.50", "currency": "EUR"},
            },
        }
    )
    assert [expected] == read(GOLDEN)
    assert problem_of(expected) is None


def test_the_same_document_gives_the_same_events() -> None:
    assert read(GOLDEN) == read(GOLDEN)


def test_the_store_names_the_zone() -> None:
    assert "2026-08-03T11:00:00Z" == only(transaction(store="0031")).occurred_at.ToJsonString()
    assert "2026-08-03T10:00:00Z" == only(transaction()).occurred_at.ToJsonString()


def test_a_time_that_names_its_zone_needs_none() -> None:
    times = "<EndDateTime>2026-08-03T12:00:00-03:00</EndDateTime>"
    event = only(transaction(times=times), {})
    assert "2026-08-03T15:00:00Z" == event.occurred_at.ToJsonString()
    assert "" == event.place.time_zone


def test_a_time_without_a_zone_is_not_guessed() -> None:
    assert ("MISSING", "config.time_zone") == trouble(transaction(), {})


def test_a_sale_that_ends_in_the_hour_that_comes_twice_took_no_negative_time() -> None:
    times = (
        "<BeginDateTime>2026-10-25T02:59:00</BeginDateTime>"
        "<EndDateTime>2026-10-25T02:01:00</EndDateTime>"
    )
    event = only(transaction(times=times))
    assert "2026-10-25T01:01:00Z" == event.occurred_at.ToJsonString()
    assert 120 == event.interaction.duration.seconds


def test_a_clock_that_was_put_back_tells_no_duration() -> None:
    times = (
        "<BeginDateTime>2026-08-03T12:00:00</BeginDateTime>"
        "<EndDateTime>2026-08-03T11:59:00</EndDateTime>"
    )
    assert not only(transaction(times=times)).interaction.HasField("duration")


def test_times_of_phases_are_taken_from_the_first_to_the_last() -> None:
    times = "".join(
        f'<{name} TypeCode="{kind}">2026-08-03T12:0{minute}:00</{name}>'
        for name, kind, minute in (
            ("BeginDateTime", "Sales", 1),
            ("EndDateTime", "Sales", 3),
            ("BeginDateTime", "Payment", 3),
            ("EndDateTime", "Payment", 4),
        )
    )
    event = only(transaction(times=times))
    assert ("2026-08-03T10:04:00Z", 180) == (
        event.occurred_at.ToJsonString(),
        event.interaction.duration.seconds,
    )


def test_version_6_names_its_store_and_its_time_otherwise() -> None:
    event = only(
        '<POSLog xmlns="http://www.nrf-arts.org/IXRetail/v6.0.0/poslog"><Transaction>'
        '<BusinessUnit><UnitID TypeCode="Country">DE</UnitID></BusinessUnit>'
        '<BusinessUnit><UnitID TypeCode="RetailStore">7-240</UnitID></BusinessUnit>'
        "<WorkstationID>3</WorkstationID><SequenceNumber>1</SequenceNumber>"
        "<BusinessDayDate>2026-08-03</BusinessDayDate>"
        '<POSLogDateTime TypeCode="Message">2026-08-03T13:00:00</POSLogDateTime>'
        '<POSLogDateTime TypeCode="Transaction">2026-08-03T12:00:00</POSLogDateTime>'
        "<RetailTransaction/></Transaction></POSLog>"
    )
    assert ("7-240/3/2026-08-03/1", "2026-08-03T10:00:00Z") == (
        event.event_id,
        event.occurred_at.ToJsonString(),
    )


@pytest.mark.parametrize(
    "body",
    [
        transaction("<ControlTransaction/>"),
        transaction("<TenderControlTransaction/>"),
        transaction("<InventoryControlTransaction/>"),
        transaction(""),
        transaction(flags='TrainingModeFlag="true"'),
        transaction(flags='TrainingModeFlag="1"'),
        transaction(flags='CancelFlag="true"'),
        transaction(flags='SuspendFlag="true"'),
        transaction('<RetailTransaction TransactionStatus="Suspended"/>'),
        transaction('<RetailTransaction TransactionStatus="InProcess"/>'),
        transaction(
            '<RetailTransaction><LineItem VoidFlag="true"><Sale/></LineItem></RetailTransaction>'
        ),
        "<POSLog/>",
        '<POSLog xmlns:v="urn:other"><v:Transaction><v:RetailTransaction/></v:Transaction></POSLog>',
    ],
)
def test_what_is_none_of_a_customer_is_no_interaction(body: str) -> None:
    assert [] == read(body)


@pytest.mark.parametrize(
    "body",
    [
        transaction(flags='VoidedFlag="true"'),
        transaction('<RetailTransaction TransactionStatus="PostVoided"/>'),
        transaction('<RetailTransaction TransactionStatus="Voided"/>'),
    ],
)
def test_what_was_voided_takes_its_own_interaction_back(body: str) -> None:
    event = only(body)
    assert ("0017/3/2026-08-03/1/void", "0017/3/2026-08-03/1", "retraction") == (
        event.event_id,
        event.amends.event_id,
        event.WhichOneof("body"),
    )


@pytest.mark.parametrize(
    "inside",
    [
        '<RetailTransaction><TransactionLink ReasonCode="Void"><SequenceNumber>7</SequenceNumber>'
        "</TransactionLink></RetailTransaction>",
        "<PostVoidTransaction><TransactionLink><SequenceNumber>7</SequenceNumber></TransactionLink>"
        "</PostVoidTransaction>",
    ],
)
def test_a_transaction_that_voids_another_takes_that_one_back(inside: str) -> None:
    event = only(transaction(inside))
    assert ("0017/3/2026-08-03/1", "0017/3/2026-08-03/7") == (
        event.event_id,
        event.amends.event_id,
    )


def test_a_link_names_what_differs() -> None:
    event = only(
        transaction(
            '<RetailTransaction><TransactionLink ReasonCode="PostVoid"><WorkstationID>4</WorkstationID>'
            "<BusinessDayDate>2026-08-01</BusinessDayDate><SequenceNumber>7</SequenceNumber>"
            "</TransactionLink></RetailTransaction>"
        )
    )
    assert "0017/4/2026-08-01/7" == event.amends.event_id


def test_a_return_by_a_receipt_is_an_interaction_of_its_own() -> None:
    inside = (
        '<RetailTransaction><TransactionLink ReasonCode="Return"><SequenceNumber>7</SequenceNumber>'
        "</TransactionLink><LineItem><Return/></LineItem></RetailTransaction>"
    )
    assert "interaction" == only(transaction(inside)).WhichOneof("body")


@pytest.mark.parametrize(
    ("lines", "total", "outcome", "amount", "touchpoint"),
    [
        ("<Sale/>", "12.50", "OUTCOME_COMPLETED", "12.50", "store.checkout"),
        ("<Return/>", "12.50", "OUTCOME_RETURNED", "-12.50", "store.returns"),
        ("<Return/>", "-12.50", "OUTCOME_RETURNED", "-12.50", "store.returns"),
        # An exchange that ended with money back, and one that did not.
        ("<Return/><Sale/>", "-2.00", "OUTCOME_COMPLETED", "-2.00", "store.checkout"),
        ("<Return/><Sale/>", "+2.00", "OUTCOME_COMPLETED", "2.00", "store.checkout"),
        ("<Sale/>", "25.000000000", "OUTCOME_COMPLETED", "25", "store.checkout"),
        ("<Sale/>", "0.00", "OUTCOME_COMPLETED", "0.00", "store.checkout"),
    ],
)
def test_what_was_paid_is_negative_when_all_of_it_goes_back(
    lines: str, total: str, outcome: str, amount: str, touchpoint: str
) -> None:
    event = only(
        transaction(
            f"<RetailTransaction><LineItem>{lines}</LineItem>"
            f'<Total TotalType="TransactionGrandAmount">{total}</Total></RetailTransaction>'
        )
    )
    assert (outcome, amount, touchpoint) == (
        pb.Outcome.Name(event.interaction.outcome),
        event.interaction.amount.amount,
        event.touchpoint,
    )


def tender(amount: str, *, kind: str = "Sale", change: str = "", currency: str = "") -> str:
    given = f"<TenderChange><Amount>{change}</Amount></TenderChange>" if change else ""
    paid = f"<Amount {currency}>{amount}</Amount>"
    return f'<LineItem><Tender TypeCode="{kind}">{paid}{given}</Tender></LineItem>'


@pytest.mark.parametrize(
    ("tenders", "amount"),
    [
        (tender("20.00", change="7.50"), "12.50"),
        (tender("10.00") + tender("2.50"), "12.50"),
        (tender("5.00", kind="Refund"), "-5.00"),
        (tender("-5.00", kind="Refund"), "-5.00"),
        (tender("10", currency='Currency="EUR"'), "10"),
        (tender("10", currency='Currency="USD"') + tender("10"), ""),
        ("", ""),
    ],
)
def test_without_a_total_the_tenders_tell_what_was_paid(tenders: str, amount: str) -> None:
    event = only(
        transaction(
            f"<RetailTransaction><LineItem><Sale/></LineItem>{tenders}"
            '<Total TotalType="TransactionNetAmount">99</Total></RetailTransaction>'
        )
    )
    assert amount == event.interaction.amount.amount


def test_an_amount_without_a_currency_is_left_for_a_person() -> None:
    body = transaction(
        '<RetailTransaction><Total TotalType="TransactionGrandAmount">1</Total></RetailTransaction>'
    ).replace("<CurrencyCode>EUR</CurrencyCode>", "")
    [event] = read(body, {"time_zone": "UTC"})
    assert isinstance(event, Event)
    found = problem_of(event)
    assert found is not None
    assert "BAD_CURRENCY" == found.code
    assert "EUR" == only(body).interaction.amount.currency


@pytest.mark.parametrize(
    ("inside", "customer"),
    [
        ("<Customer><CustomerID>c-1</CustomerID></Customer>", "c-1"),
        ("<LoyaltyAccount><LoyaltyAccountID>l-1</LoyaltyAccountID></LoyaltyAccount>", "l-1"),
        ("<Customer><CustomerID>null</CustomerID></Customer>", ""),
        ("<Customer><CustomerID> 0 </CustomerID></Customer>", ""),
        (
            "<Customer><CustomerID>Unknown</CustomerID></Customer><LineItem><Sale/></LineItem>"
            "<LineItem><LoyaltyMembership><LoyaltyID>m-1</LoyaltyID></LoyaltyMembership></LineItem>",
            "m-1",
        ),
    ],
)
def test_a_fake_reference_is_no_customer(inside: str, customer: str) -> None:
    assert (
        customer == only(transaction(f"<RetailTransaction>{inside}</RetailTransaction>")).customer
    )


def test_the_parts_of_a_key_can_not_be_taken_for_each_other() -> None:
    first, second = only(transaction(store="1/3")), only(transaction(store="1%2F3"))
    assert ("1%2F3/3/2026-08-03/1", "1%252F3/3/2026-08-03/1") == (first.event_id, second.event_id)


@pytest.mark.parametrize(
    ("missing", "field"),
    [
        ("<RetailStoreID>0017</RetailStoreID>", "POSLog.Transaction[1].RetailStoreID"),
        ("<WorkstationID>3</WorkstationID>", "POSLog.Transaction[1].WorkstationID"),
        ("<BusinessDayDate>2026-08-03</BusinessDayDate>", "POSLog.Transaction[1].BusinessDayDate"),
        ("<SequenceNumber>1</SequenceNumber>", "POSLog.Transaction[1].SequenceNumber"),
        ("<EndDateTime>2026-08-03T12:00:00</EndDateTime>", "POSLog.Transaction[1].EndDateTime"),
    ],
)
def test_a_transaction_without_its_key_or_time_harms_none_beside_it(
    missing: str, field: str
) -> None:
    good, bad = transaction(sequence="9"), transaction().replace(missing, "")
    first, second, third = read(f"<POSLog>{good}{bad}{good}</POSLog>")
    assert isinstance(first, Event)
    assert first == third
    assert isinstance(second, Problem)
    assert ("MISSING", field) == (second.code, second.field)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ("", "MALFORMED_XML"),
        ("{}", "MALFORMED_XML"),
        ("<POSLog>", "MALFORMED_XML"),
        (GOLDEN[: len(GOLDEN) // 2], "MALFORMED_XML"),
        ("<POSLog/><POSLog/>", "MALFORMED_XML"),
        (b"<POSLog>\xff</POSLog>", "MALFORMED_XML"),
        (b"<POSLog>\x00</POSLog>", "MALFORMED_XML"),
        ('<?xml version="1.0" encoding="klingon"?><POSLog/>', "MALFORMED_XML"),
        ('<?xml version="1.0" encoding="utf-7"?><POSLog/>', "MALFORMED_XML"),
        ('<!DOCTYPE POSLog SYSTEM "http://127.0.0.1:1/x.dtd"><POSLog/>', "MALFORMED_XML"),
        (
            '<!DOCTYPE p [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;">]><POSLog>&b;</POSLog>',
            "MALFORMED_XML",
        ),
        (
            '<!DOCTYPE p [<!ENTITY a SYSTEM "file:///etc/passwd">]><POSLog>&a;</POSLog>',
            "MALFORMED_XML",
        ),
        ("<html/>", "WRONG_TYPE"),
        ("<a>" * (DEPTH_MAX + 1), "TOO_DEEP"),
        ("<POSLog>" + "<a/>" * (ELEMENTS_MAX + 1), "TOO_MANY"),
        ("<POSLog>" + "<Transaction/>" * 501 + "</POSLog>", "TOO_MANY"),
        (transaction(times="<EndDateTime>today</EndDateTime>"), "BAD_TIME"),
        (transaction(times="<EndDateTime/>"), "BAD_TIME"),
        (transaction(times="<EndDateTime>0001-01-01T00:00:00</EndDateTime>"), "BAD_TIME"),
        (
            transaction(f"<RetailTransaction>{tender('1e400')}</RetailTransaction>"),
            "BAD_DECIMAL",
        ),
        (transaction("<PostVoidTransaction/>"), "MISSING"),
    ],
)
def test_anything_else_is_told_by_its_kind_alone(body: str | bytes, code: str) -> None:
    assert code == trouble(body)[0]


def test_the_secret_comes_in_the_header_that_was_agreed() -> None:
    ADAPTER.verify(delivery(b"", {"x-api-key": SECRET}), SECRET, {})
    ADAPTER.verify(delivery(b"", {"x-till-key": SECRET}), SECRET, {"header": "X-Till-Key"})


@pytest.mark.parametrize(
    ("headers", "secret", "config"),
    [
        ({}, SECRET, {}),
        ({"x-api-key": ""}, SECRET, {}),
        ({"x-api-key": SECRET + " "}, SECRET, {}),
        ({"x-api-key": "é"}, SECRET, {}),
        ({"x-api-key": SECRET}, SECRET, {"header": "x-till-key"}),
        ({}, "", {}),
    ],
)
def test_anything_else_opens_nothing(
    headers: dict[str, str], secret: str, config: dict[str, Any]
) -> None:
    with pytest.raises(Unauthenticated) as refusal:
        ADAPTER.verify(delivery(b"", headers), secret, config)
    assert SECRET not in str(refusal.value)


@pytest.mark.parametrize(
    "config", [{}, CONFIG, CONFIG | {"touchpoint": "shop.till", "header": "X-A"}]
)
def test_a_configuration_that_works_is_taken(config: dict[str, Any]) -> None:
    ADAPTER.check_config(config)


@pytest.mark.parametrize(
    ("config", "field"),
    [
        ({"time_zone": "CEST"}, "config.time_zone"),
        ({"time_zone": 1}, "config.time_zone"),
        ({"time_zones": {"17": "Berlin"}}, "config.time_zones.17"),
        ({"time_zones": []}, "config.time_zones"),
        ({"currency": "eur"}, "config.currency"),
        ({"currency": None}, "config.currency"),
        ({"touchpoint": "the till"}, "config.touchpoint"),
        ({"return_touchpoint": ""}, "config.return_touchpoint"),
        ({"header": "x api"}, "config.header"),
        ({"timezone": "UTC"}, "config"),
    ],
)
def test_one_that_does_not_is_refused_where_it_is_wrong(config: dict[str, Any], field: str) -> None:
    with pytest.raises(Malformed) as refusal:
        ADAPTER.check_config(config)
    assert field == refusal.value.problem.field
