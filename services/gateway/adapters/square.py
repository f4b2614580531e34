"""Square: payments and refunds of its Payments and Refunds API webhooks.

A payment is told many times: when it is made, when it is captured, and again when Square adds its fees or a
refund to it. It is one interaction, once it is COMPLETED, so the event id is made from the payment's own id
and of what it tells only that is taken which stays. `order.*` is no substitute: Square sends no order.created
for orders made on its own tills.
"""

import base64
import hmac

from services.gateway.adapters.adapter import (
    Adapter,
    Config,
    Delivery,
    Part,
    Unreadable,
    check_signature,
    customer,
    document,
    refuse_other_settings,
    touchpoint_of,
)
from touchledger.v1 import events_pb2 as pb
from touchledger.v1.problem_pb2 import Problem

SIGNATURE = "x-square-hmacsha256-signature"
PAYMENTS = {"payment.created", "payment.updated"}
REFUNDS = {"refund.created", "refund.updated"}
COMPLETED = "COMPLETED"
# A card that was there, or cash.
IN_PERSON = {"SWIPED", "EMV", "CONTACTLESS"}
ONLINE = {"ONLINE_STORE", "ECOMMERCE_API", "INVOICES"}
# ISO 4217: currencies whose minor unit is not a hundredth.
DECIMALS = {
    **dict.fromkeys(
        (
            *("BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG", "RWF", "UGX", "UYI"),
            *("VND", "VUV", "XAF", "XOF", "XPF"),
        ),
        0,
    ),
    **dict.fromkeys(("BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"), 3),
    **dict.fromkeys(("CLF", "UYW"), 4),
}
SETTINGS = {"touchpoint", "return_touchpoint"}


def verify(delivery: Delivery, secret: str, config: Config) -> None:
    signed = delivery.url.encode() + delivery.body
    digest = hmac.digest(secret.encode(), signed, "sha256")
    check_signature(delivery, SIGNATURE, base64.b64encode(digest).decode())


def read(delivery: Delivery, config: Config) -> list[pb.Event | Problem]:
    try:
        envelope = document(delivery.body)
        kind = envelope.required("type")
        content = envelope.part("data").part("object")
        if kind in PAYMENTS:
            return _payment(content.part("payment"), config)
        if kind in REFUNDS:
            return _refund(content.part("refund"), config)
    except Unreadable as error:
        return [error.problem]
    return []


def check_config(config: Config) -> None:
    refuse_other_settings(config, SETTINGS)
    for name in SETTINGS:
        touchpoint_of(config, name, "unset")


def _payment(payment: Part, config: Config) -> list[pb.Event | Problem]:
    if payment.required("status") != COMPLETED:
        return []
    channel = _channel(payment)
    # With the tip. Square leaves total_money out of some older payments.
    money = "total_money" if payment.value.get("total_money") else "amount_money"
    event = _event("payment", payment, channel)
    event.touchpoint = touchpoint_of(
        config, "touchpoint", "web.checkout" if channel == pb.CHANNEL_WEB else "store.checkout"
    )
    event.customer = customer(payment.text("customer_id"))
    event.place.device = payment.part("device_details").text("device_id")
    event.interaction.outcome = pb.OUTCOME_COMPLETED
    event.interaction.amount.CopyFrom(_money(payment.part(money), sign=""))
    return [event]


def _refund(refund: Part, config: Config) -> list[pb.Event | Problem]:
    if refund.required("status") != COMPLETED:
        return []
    event = _event("refund", refund, pb.CHANNEL_UNSPECIFIED)
    event.touchpoint = touchpoint_of(config, "return_touchpoint", "store.returns")
    event.causation_id = f"payment:{payment}" if (payment := refund.text("payment_id")) else ""
    event.interaction.outcome = pb.OUTCOME_RETURNED
    event.interaction.amount.CopyFrom(_money(refund.part("amount_money"), sign="-"))
    return [event]


def _event(kind: str, part: Part, channel: pb.Channel) -> pb.Event:
    return pb.Event(
        event_id=f"{kind}:{part.required('id')}",
        # updated_at moves with every later addition, and would make other content of the same payment.
        occurred_at=part.moment("created_at"),
        correlation_id=part.text("order_id"),
        staff=part.text("team_member_id"),
        place=pb.Place(store=part.text("location_id")),
        interaction=pb.Interaction(stage=pb.STAGE_PURCHASE, channel=channel),
    )


def _channel(payment: Part) -> pb.Channel:
    product = payment.part("application_details").text("square_product")
    if product in ONLINE:
        return pb.CHANNEL_WEB
    entry = payment.part("card_details").text("entry_method")
    if entry in IN_PERSON or payment.text("source_type") == "CASH" or product == "SQUARE_POS":
        return pb.CHANNEL_STORE
    return pb.CHANNEL_UNSPECIFIED


def _money(part: Part, *, sign: str) -> pb.Money:
    """Square counts in the currency's smallest unit: 1000 are 10.00 dollars and 1000 yen."""
    amount, currency = part.whole("amount"), part.required("currency")
    if amount < 0:
        raise Unreadable(
            "BAD_DECIMAL", part.at("amount"), got="a negative number", want="0 or more"
        )
    decimals = DECIMALS.get(currency, 2)
    digits = str(amount).rjust(decimals + 1, "0")
    text = f"{digits[:-decimals]}.{digits[-decimals:]}" if decimals else digits
    return pb.Money(amount=f"{sign}{text}" if amount else text, currency=currency)


ADAPTER = Adapter(name="square.v1", verify=verify, read=read, check_config=check_config)
