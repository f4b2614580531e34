"""A till server that delivers 600 KB of POSLog at a time to a webhook: answered first, mapped afterwards."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime

import grpc

from bench import http_client
from bench.contender import Run
from bench.events import Event
from bench.stores.gateway import Gateway, OverHttp
from touchledger.v1 import webhooks_pb2, webhooks_pb2_grpc

BODY_BYTES = 600_000
# As many sales as the largest batch has events.
SALES = 500
SECRET = "a secret of the bench"  # noqa: S105 (it opens what the bench made)
CONFIG = '{"time_zone": "Europe/Berlin", "currency": "EUR"}'
CREATE_SECONDS_MAX = 10.0
# The mapping of all that was delivered in a run takes some seconds.
POLL_SECONDS = 0.05
POLLS_MAX = 1200
LINE = (
    "<LineItem><Sale ItemType='Stock'><ItemID>4011</ItemID><Quantity>1</Quantity></Sale></LineItem>"
)
SALE = """<Transaction><RetailStoreID>0017</RetailStoreID><WorkstationID>3</WorkstationID>
<SequenceNumber>{id}</SequenceNumber><BusinessDayDate>2026-08-03</BusinessDayDate>
<EndDateTime>{time}</EndDateTime><CurrencyCode>EUR</CurrencyCode>
<RetailTransaction>{lines}<Total TotalType='TransactionGrandAmount'>12.50</Total></RetailTransaction>
</Transaction>"""
POSLOG = "<POSLog xmlns='http://www.nrf-arts.org/IXRetail/namespace/'>{sales}</POSLog>"


class Webhook:
    """Each batch is one delivery. In the time is its answer; counted is what was mapped and stored later."""

    def __init__(self, gateway: Gateway, path: str) -> None:
        self._gateway = gateway
        self._path = path

    @classmethod
    async def create(cls, gateway: Gateway) -> "Webhook":
        wanted = webhooks_pb2.Webhook(adapter="poslog.v1", source="tills", config_json=CONFIG)
        async with grpc.aio.insecure_channel(gateway.grpc_address) as channel:
            stub = webhooks_pb2_grpc.WebhookServiceStub(channel)
            answer = await stub.CreateWebhook(
                webhooks_pb2.CreateWebhookRequest(
                    webhook=wanted, public_url=f"http://{gateway.http_address}", secret=SECRET
                ),
                metadata=(("authorization", f"Bearer {gateway.key}"),),
                timeout=CREATE_SECONDS_MAX,
            )
        return cls(gateway, answer.webhook.url.removeprefix(f"http://{gateway.http_address}"))

    async def run(self, batches: Sequence[Sequence[Event]], callers: int) -> Run:
        before = await self._gateway.position()
        requests = [delivery(self._path, batch) for batch in batches]
        over_http = OverHttp(self._gateway.http_address, self._gateway.key)
        timing = await over_http.send(requests, callers, status=202)
        wanted = before + sum(map(len, batches[: timing.appends]))
        for _ in range(POLLS_MAX):
            if await self._gateway.position() >= wanted:
                break
            await asyncio.sleep(POLL_SECONDS)
        return Run(timing, await self._gateway.position() - before)


class NullWebhook:
    """The same deliveries to a server that answers at once."""

    def __init__(self, server: OverHttp) -> None:
        self._server = server

    async def run(self, batches: Sequence[Sequence[Event]], callers: int) -> Run:
        requests = [delivery("/", batch) for batch in batches]
        timing = await self._server.send(requests, callers, status=200)
        return Run(timing, sum(map(len, batches[: timing.appends])))


def delivery(path: str, batch: Sequence[Event]) -> bytes:
    return http_client.post(
        path, poslog(batch), ("Content-Type", "application/xml"), ("X-Api-Key", SECRET)
    )


def poslog(batch: Sequence[Event]) -> bytes:
    """A sale for each event, with its id, padded with lines to 600 KB in all."""
    time = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    sales = [SALE.format(id=event.id, time=time, lines="{lines}") for event in batch]
    lines = (BODY_BYTES // len(batch) - len(sales[0])) // len(LINE)
    return POSLOG.format(sales="".join(sales).replace("{lines}", LINE * max(lines, 0))).encode()
