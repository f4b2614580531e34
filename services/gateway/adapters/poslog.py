"""ARTS/NRF POSLog: what tills tell of their transactions, as XML of the versions 2 to 6.

A retail transaction that was finished is one interaction. What a till does for itself (control, tender and
stock transactions, training) and what was cancelled or parked is none. What was voided afterwards takes its
interaction back. The transaction's own key makes the event id: store, workstation, business day and sequence
number, since sequences start again.

The vendor's middleware sends the secret in a header. The configuration says what a POSLog leaves out:

    {"time_zone": "Europe/Berlin", "time_zones": {"0031": "Atlantic/Canary"}, "currency": "EUR",
     "touchpoint": "store.checkout", "return_touchpoint": "store.returns", "header": "x-api-key"}
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, NoReturn
from xml.etree.ElementTree import Element, ParseError, TreeBuilder
from zoneinfo import ZoneInfo

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import DefusedXMLParser

from services.chassis.errors import Malformed
from services.gateway import local_time
from services.gateway.adapters.adapter import (
    EVENTS_MAX,
    Adapter,
    Config,
    Delivery,
    Unreadable,
    customer,
    kind_of,
    refuse_other_settings,
    touchpoint_of,
)
from services.gateway.adapters.shared_secret import check_header_setting, check_secret
from services.gateway.checks import CURRENCY, DECIMAL
from touchledger.v1 import events_pb2 as pb
from touchledger.v1.problem_pb2 import Problem

SETTINGS = {"time_zone", "time_zones", "currency", "touchpoint", "return_touchpoint", "header"}
# Followed by "namespace/" up to version 3 and by the version from 6 on. Elements of other namespaces are a
# vendor's own and not read.
NAMESPACE = "{http://www.nrf-arts.org/IXRetail/"
# A transaction nests about ten levels, and 1 MiB as tills write it has 35,000 elements: a fifth of a second.
DEPTH_MAX = 64
ELEMENTS_MAX = 50_000

# Attributes by which a till says that nothing was sold.
NOT_MEANT = ("CancelFlag", "TrainingModeFlag", "SuspendFlag", "SuspendedFlag")
NOT_DONE = {"Failed", "InProcess", "Suspended", "SuspendedDeleted", "Totaled"}
# Voided after it was finished: the till may have told it as finished before.
TAKEN_BACK = {"Voided", "PostVoided"}
VOIDS_ANOTHER = {"PostVoid", "PostVoided", "Void", "Voided"}
# What was paid, the best source first. Gross and net are no substitute: they leave out discounts or tax.
PAID = ("TransactionGrandAmount", "TransactionTenderApplied")
NUMBER = re.compile(r"[+-]?[0-9]{1,15}(?:\.[0-9]{1,9})?", re.ASCII)


def verify(delivery: Delivery, secret: str, config: Config) -> None:
    check_secret(delivery, secret, config)


def read(delivery: Delivery, config: Config) -> list[pb.Event | Problem]:
    try:
        transactions = _transactions(_parse(delivery.body))
    except Unreadable as error:
        return [error.problem]
    events: list[pb.Event | Problem] = []
    for transaction in transactions:
        try:
            event = _event(transaction, config)
        except Unreadable as error:
            events.append(error.problem)
        else:
            events.extend([event] if event else [])
    return events


def check_config(config: Config) -> None:
    refuse_other_settings(config, SETTINGS)
    check_header_setting(config)
    touchpoint_of(config, "touchpoint", "unset")
    touchpoint_of(config, "return_touchpoint", "unset")
    currency = config.get("currency", "EUR")
    if not isinstance(currency, str) or not CURRENCY.fullmatch(currency):
        _refuse("config.currency", currency, "three capital letters")
    zones = config.get("time_zones", {})
    if not isinstance(zones, dict):
        _refuse("config.time_zones", zones, "an object from store to time zone")
    named = {f"config.time_zones.{store}": zone for store, zone in zones.items()}
    for field, zone in ({"config.time_zone": config.get("time_zone", "UTC")} | named).items():
        if not isinstance(zone, str) or not local_time.is_zone(zone):
            _refuse(field, zone, "an IANA time zone")


def _refuse(field: str, value: Any, want: str) -> NoReturn:
    raise Malformed(want, field=field, got=kind_of(value))


class _Bounded(TreeBuilder):
    """Makes the tree, with plain names, and ends the parse where the document is too deep or too full."""

    def __init__(self) -> None:
        super().__init__()
        self._depth = 0
        self._elements = 0

    def start(self, tag: str, attrs: dict[str, str]) -> Element:
        self._depth += 1
        self._elements += 1
        if self._depth > DEPTH_MAX:
            want = f"at most {DEPTH_MAX} levels"
            raise Unreadable("TOO_DEEP", "", got="deeper nesting", want=want)
        if self._elements > ELEMENTS_MAX:
            raise Unreadable(
                "TOO_MANY", "", got="more elements", want=f"at most {ELEMENTS_MAX} elements"
            )
        return super().start(_plain(tag), attrs)

    def end(self, tag: str) -> Element:
        self._depth -= 1
        return super().end(_plain(tag))


def _plain(tag: str) -> str:
    return tag.rpartition("}")[2] if tag.startswith(NAMESPACE) else tag


def _parse(body: bytes) -> Element:
    # A DTD could declare entities, which grow when they are read; no POSLog has one.
    parser = DefusedXMLParser(target=_Bounded(), forbid_dtd=True)
    try:
        parser.feed(body)
        root = parser.close()
    except DefusedXmlException:
        raise Unreadable("MALFORMED_XML", "", got="a DTD or entities", want="none") from None
    # LookupError and ValueError are told of an encoding that Python doesn't know or can't use.
    except (ParseError, LookupError, ValueError):
        raise Unreadable(
            "MALFORMED_XML", "", got=f"{len(body)} other bytes", want="one XML document"
        ) from None
    if not isinstance(root, Element):
        raise Unreadable("MALFORMED_XML", "", got="no element", want="one XML document")
    return root


@dataclass(frozen=True, slots=True)
class _Node:
    """An element and its path, by which a problem names what is missing or odd."""

    element: Element
    path: str

    def node(self, name: str) -> "_Node | None":
        found = self.element.find(name)
        return None if found is None else _Node(found, f"{self.path}.{name}")

    def nodes(self, name: str) -> Iterator["_Node"]:
        for index, found in enumerate(self.element.findall(name)):
            yield _Node(found, f"{self.path}.{name}[{index}]")

    def text(self, *names: str) -> str:
        """The text at the end of this path of names; "" when there is none."""
        found = self.element.find("/".join(names)) if names else self.element
        return (found.text or "").strip() if found is not None else ""

    def flag(self, *names: str) -> bool:
        return any(self.element.get(name, "").lower() in ("true", "1") for name in names)

    def missing(self, name: str, want: str) -> Unreadable:
        return Unreadable("MISSING", f"{self.path}.{name}", got="nothing", want=want)


def _transactions(root: Element) -> list[_Node]:
    if root.tag == "Transaction":
        return [_Node(root, "Transaction")]
    if root.tag != "POSLog":
        raise Unreadable("WRONG_TYPE", "", got="another XML document", want="a POSLog")
    transactions = list(_Node(root, "POSLog").nodes("Transaction"))
    if len(transactions) > EVENTS_MAX:
        got = f"{len(transactions)} transactions"
        raise Unreadable("TOO_MANY", "POSLog.Transaction", got=got, want=f"at most {EVENTS_MAX}")
    return transactions


def _event(transaction: _Node, config: Config) -> pb.Event | None:
    """The interaction, or the retraction of one; None of a transaction that is none of a customer."""
    sale = transaction.node("RetailTransaction")
    void = transaction.node("PostVoidTransaction")
    told = sale or void
    if told is None or transaction.flag(*NOT_MEANT) or told.flag(*NOT_MEANT):
        return None
    status = told.element.get("TransactionStatus", "")
    if status in NOT_DONE:
        return None
    voided = _voided(told) or _voided(transaction)
    if void is not None and voided is None:
        raise void.missing("TransactionLink", "the transaction that it voids")
    key = _Key.of(transaction, _Key())
    zone = _zone(key.store, config)
    begin, end = _span(transaction, zone)
    event = pb.Event(
        event_id=key.event_id(),
        occurred_at=end,
        staff=customer(transaction.text("OperatorID")),
        place=pb.Place(
            store=key.store,
            device=key.workstation,
            business_date=key.business_day,
            time_zone=zone,
        ),
    )
    if voided is not None:
        event.amends.event_id = _Key.of(voided, key).event_id()
    elif status in TAKEN_BACK or transaction.flag("VoidedFlag", "VoidFlag"):
        event.amends.event_id = event.event_id
        event.event_id += "/void"
    if event.HasField("amends"):
        event.retraction.reason = "voided"
        return event
    if not _interaction(event, told, transaction, config):
        return None
    if begin is not None and (took := local_time.between(begin, end)) is not None:
        event.interaction.duration.FromTimedelta(took)
    return event


def _voided(told: _Node) -> _Node | None:
    """The link to the transaction that this one voids."""
    always = told.element.tag == "PostVoidTransaction"
    for link in told.nodes("TransactionLink"):
        if always or link.element.get("ReasonCode") in VOIDS_ANOTHER:
            return link
    return None


@dataclass(frozen=True, slots=True)
class _Key:
    """What makes a transaction the one it is."""

    store: str = ""
    workstation: str = ""
    business_day: str = ""
    sequence: str = ""

    @classmethod
    def of(cls, node: _Node, default: "_Key") -> "_Key":
        """The key of a transaction, or of the one that a link names, as far as it differs from `default`."""
        units = node.nodes("BusinessUnit")
        stores = (
            unit.text("UnitID")
            for unit in units
            if (found := unit.node("UnitID"))
            and found.element.get("TypeCode", "RetailStore") == "RetailStore"
        )
        key = cls(
            store=node.text("RetailStoreID") or next(stores, default.store),
            workstation=node.text("WorkstationID") or default.workstation,
            # Some tills write midnight behind the day.
            business_day=node.text("BusinessDayDate").removesuffix("T00:00:00")
            or default.business_day,
            sequence=node.text("SequenceNumber"),
        )
        for name, value in (
            ("RetailStoreID", key.store),
            ("WorkstationID", key.workstation),
            ("BusinessDayDate", key.business_day),
            ("SequenceNumber", key.sequence),
        ):
            if not value:
                raise node.missing(name, "the transaction's key")
        return key

    def event_id(self) -> str:
        # A store "1/2" is not the store "1" with a workstation "2/…".
        parts = (self.store, self.workstation, self.business_day, self.sequence)
        return "/".join(part.replace("%", "%25").replace("/", "%2F") for part in parts)


def _zone(store: str, config: Config) -> str:
    zones = config.get("time_zones") or {}
    return str(zones.get(store) or config.get("time_zone") or "")


def _span(transaction: _Node, zone: str) -> tuple[datetime | None, datetime]:
    """When it began, where that is told, and when it ended."""
    begins = list(transaction.nodes("BeginDateTime"))
    ends = list(transaction.nodes("EndDateTime"))
    if not ends:
        dated = transaction.nodes("POSLogDateTime")
        ends = [each for each in dated if each.element.get("TypeCode") == "Transaction"] or begins
    if not ends:
        raise transaction.missing("EndDateTime", local_time.NEEDED)
    # Version 6 tells the times of each phase: from the first beginning to the last end.
    begin = min((_moment(each, zone) for each in begins), default=None)
    end = max(_moment(each, zone, not_before=begin) for each in ends)
    return begin, end


def _moment(node: _Node, zone: str, not_before: datetime | None = None) -> datetime:
    try:
        told = local_time.read_time(node.text())
        if told.tzinfo is not None:
            return told
        if not zone:
            raise Unreadable(
                "MISSING", "config.time_zone", got="nothing", want="the time zone of the store"
            )
        return local_time.moment(told, ZoneInfo(zone), not_before=not_before)
    except ValueError:
        raise Unreadable("BAD_TIME", node.path, got="other text", want=local_time.NEEDED) from None


def _interaction(event: pb.Event, sale: _Node, transaction: _Node, config: Config) -> bool:
    """Whether there was one, which is then in the event."""
    lines = list(sale.nodes("LineItem"))
    live = [line for line in lines if not line.flag("VoidFlag", "CancelFlag")]
    if lines and not live:
        return False
    kinds = {child.tag for line in live for child in line.element}
    returned = any(kind.startswith("Return") for kind in kinds) and not any(
        kind.startswith("Sale") for kind in kinds
    )
    name, default = (
        ("return_touchpoint", "store.returns") if returned else ("touchpoint", "store.checkout")
    )
    event.touchpoint = touchpoint_of(config, name, default)
    event.customer = _customer(sale, live)
    event.interaction.stage = pb.STAGE_PURCHASE
    event.interaction.channel = pb.CHANNEL_STORE
    event.interaction.outcome = pb.OUTCOME_RETURNED if returned else pb.OUTCOME_COMPLETED
    amount, currency = _paid(sale, live, transaction)
    if amount is not None:
        event.interaction.amount.amount = _text(-abs(amount) if returned else amount)
        event.interaction.amount.currency = currency or str(config.get("currency", ""))
    return True


def _customer(sale: _Node, lines: list[_Node]) -> str:
    references = (
        sale.text("Customer", "CustomerID"),
        *(line.text("LoyaltyMembership", "LoyaltyID") for line in lines),
        sale.text("LoyaltyAccount", "LoyaltyAccountID"),
        sale.text("LoyaltyAccount", "CustomerID"),
    )
    return next(filter(None, map(customer, references)), "")


def _paid(sale: _Node, lines: list[_Node], transaction: _Node) -> tuple[Decimal | None, str]:
    """What was paid in all, and in which currency; None when the log doesn't say."""
    currency = transaction.text("CurrencyCode")
    for kind in PAID:
        for total in sale.nodes("Total"):
            if total.element.get("TotalType") == kind:
                return _decimal(total), _currency(total) or currency
    paid = Decimal(0)
    tenders = [tender for line in lines if (tender := line.node("Tender"))]
    for tender in tenders:
        amount, change = tender.node("Amount"), tender.node("TenderChange")
        if amount is None or (_currency(amount) or currency) != currency:
            # Notes of another currency can't be added up.
            return None, ""
        value = _decimal(amount)
        paid += -abs(value) if tender.element.get("TypeCode") == "Refund" else value
        if change is not None and (given := change.node("Amount")):
            paid -= abs(_decimal(given))
    return (paid if tenders else None), currency


def _currency(node: _Node) -> str:
    return node.element.get("CurrencyCode") or node.element.get("Currency") or ""


def _decimal(node: _Node) -> Decimal:
    text = node.text()
    if not NUMBER.fullmatch(text):
        raise Unreadable(
            "BAD_DECIMAL", node.path, got="other text", want="a decimal such as 129.90"
        )
    return Decimal(text)


def _text(amount: Decimal) -> str:
    text = format(amount, "f")
    # Tills that write more decimals than events have fill them with zeros.
    return text if DECIMAL.fullmatch(text) else format(amount.normalize(), "f")


ADAPTER = Adapter(name="poslog.v1", verify=verify, read=read, check_config=check_config)
