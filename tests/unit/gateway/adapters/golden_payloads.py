"""Deliveries as vendors document them, written for these tests; by the name of their file."""

from datetime import UTC, datetime
from pathlib import Path

from services.gateway.adapters.adapter import Delivery

GOLDEN = Path(__file__).parent / "golden"
URL = "https://events.shop.example/v1/webhooks/adapter/id"
RECEIVED_AT = datetime(2026, 3, 14, 17, 2, 10, tzinfo=UTC)


def delivery(body: bytes, headers: dict[str, str] | None = None, url: str = URL) -> Delivery:
    return Delivery(url, headers or {}, body, RECEIVED_AT)


def golden(name: str) -> Delivery:
    return delivery((GOLDEN / name).read_bytes())
