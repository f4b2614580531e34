"""What the client sends again, when, and what it makes of each answer; with threads and with a loop."""

import asyncio
import itertools
import logging
import os
import re
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import pytest
import trustme
from touchledger_client import AsyncClient, Client, Gateway, Pace, Rejected, Result, Status
from touchledger_client.delivery import Delivery
from touchledger_client.spool import Spool

from tests.clients.conftest import CLIENT
from tests.clients.scripted_gateway import Refusal, Say, ScriptedGateway, refusing, result
from tests.support.events import event
from tests.support.stack import free_port
from touchledger.v1 import events_pb2, ingest_pb2, problem_pb2

README = CLIENT / "README.md"
KEY = "tl_0123456789ab_" + "s" * 43
BAD = problem_pb2.Problem(code="VALUE_OUTSIDE_SCALE", field="x", got="9", want="1 to 5")
FAST = Pace(backoff_seconds=0.02, backoff_seconds_max=0.1, refused_seconds=0.1)
NEVER_AGAIN = Pace(backoff_seconds=3600, backoff_seconds_max=3600, refused_seconds=3600)
FLUSH_SECONDS = 20.0
RECORDED = ingest_pb2.DISPOSITION_RECORDED
RETRY = ingest_pb2.DISPOSITION_RETRY


@dataclass
class Till:
    """Either client, with the same methods to wait for."""

    client: Client | AsyncClient
    results: list[Result]

    async def record(self, *event_ids: str) -> list[str]:
        return await self.record_all([event(event_id=each) for each in event_ids])

    async def record_all(self, events: Sequence[events_pb2.Event]) -> list[str]:
        return await self._do(self.client.record_all, events)  # type: ignore[no-any-return]  # `_do` is of either client

    async def flush(self, seconds: float = FLUSH_SECONDS) -> bool:
        return await self._do(self.client.flush, seconds)  # type: ignore[no-any-return]  # as above

    async def status(self) -> Status:
        return await self._do(self.client.status)  # type: ignore[no-any-return]  # as above

    async def rejected(self) -> list[Rejected]:
        return await self._do(self.client.rejected)  # type: ignore[no-any-return]  # as above

    async def close(self, seconds: float = 0.0) -> None:
        await self._do(self.client.close, seconds)

    async def _do(self, work: Callable[..., Any], *arguments: object) -> Any:
        if isinstance(self.client, AsyncClient):
            return await work(*arguments)
        return await asyncio.to_thread(work, *arguments)


@dataclass
class Tills:
    """Opens them on one spool, at one gateway, and closes them at the end."""

    kind: str
    folder: Path
    gateway: ScriptedGateway
    target: str
    opened: list[Till] = field(default_factory=list)

    async def open(
        self,
        *,
        pace: Pace = FAST,
        gateway: Gateway | None = None,
        on_result: Callable[[Result], None] | None = None,
    ) -> Till:
        results = list[Result]()
        # Each look at it is a second later.
        clock = itertools.count(1_785_751_200).__next__
        to = gateway or Gateway(self.target, KEY, clear_text=True)
        path = self.folder / "till.spool"
        told = on_result or results.append
        client: Client | AsyncClient
        if self.kind == "threads":
            client = Client(to, path, pace=pace, on_result=told, clock=clock)
        else:
            client = AsyncClient(to, path, pace=pace, on_result=told, clock=clock)
            await client.open()
        self.opened.append(Till(client, results))
        return self.opened[-1]


@pytest.fixture
def gateway() -> Iterator[ScriptedGateway]:
    gateway = ScriptedGateway()
    yield gateway
    gateway.stop()


@pytest.fixture(params=["threads", "loop"])
async def tills(
    request: pytest.FixtureRequest, tmp_path: Path, gateway: ScriptedGateway
) -> AsyncIterator[Tills]:
    tills = Tills(request.param, tmp_path, gateway, gateway.start())
    yield tills
    for each in tills.opened:
        await each.close()


def results_of(*dispositions: int, **fields: object) -> Say:
    return lambda request: [result(each, **fields) for each in dispositions]


def ids(numbers: range) -> list[str]:
    return [f"event-{number:05}" for number in numbers]


async def test_what_is_recorded_is_published_in_order_and_leaves_the_spool(tills: Tills) -> None:
    till = await tills.open()
    assert await till.record("b", "a") == ["b", "a"]
    assert await till.record("c") == ["c"]
    assert await till.flush()
    assert list(tills.gateway.recorded) == ["b", "a", "c"]
    assert [each.event_id for each in till.results] == ["b", "a", "c"]
    assert {call.authorization for call in tills.gateway.calls} == {f"Bearer {KEY}"}
    status = await till.status()
    assert (status.counts.waiting, status.counts.recorded, status.trouble) == (0, 3, "")


async def test_recording_needs_no_gateway_and_what_waits_is_published_after_a_restart(
    tills: Tills,
) -> None:
    nobody = Gateway(f"127.0.0.1:{free_port()}", KEY, clear_text=True)
    offline = await tills.open(gateway=nobody, pace=NEVER_AGAIN)
    await offline.record("a", "b")
    assert not await offline.flush(0.1)
    assert (await offline.status()).counts.waiting == 2
    await offline.close()
    online = await tills.open()
    await online.record("c")
    assert await online.flush()
    assert list(tills.gateway.recorded) == ["a", "b", "c"]


async def test_a_call_that_got_no_answer_is_made_again_with_the_same_events(tills: Tills) -> None:
    def loses_its_answer(
        request: ingest_pb2.PublishBatchRequest,
    ) -> list[ingest_pb2.PublishResult]:
        tills.gateway.record(request)
        raise Refusal(grpc.StatusCode.UNAVAILABLE)

    tills.gateway.script = [loses_its_answer]
    till = await tills.open()
    await till.record("a", "b")
    assert await till.flush()
    first, second = tills.gateway.calls[:2]
    assert list(first.request.events) == list(second.request.events)
    # Of the attempt, so that the gateway can tell how far the till's clock is off.
    assert second.request.attempt.sent_at.seconds > first.request.attempt.sent_at.seconds
    counts = (await till.status()).counts
    assert (counts.duplicate, counts.recorded) == (2, 0)


async def test_only_what_is_to_be_sent_again_is_sent_again_and_not_before_the_hint(
    tills: Tills,
) -> None:
    again = problem_pb2.Problem(code="BUSY", retryable=True)
    again.retry_after.FromMilliseconds(400)
    tills.gateway.script = [
        lambda request: [result(RECORDED), result(RETRY, problem=again), result(RECORDED)]
    ]
    till = await tills.open()
    await till.record("a", "b", "c")
    assert await till.flush()
    first, second = tills.gateway.calls
    assert (first.event_ids, second.event_ids) == (["a", "b", "c"], ["b"])
    assert second.at - first.at >= 0.4
    assert sorted(each.event_id for each in till.results) == ["a", "b", "c"]


async def test_the_gateways_hint_is_kept_even_when_somebody_waits(tills: Tills) -> None:
    busy = refusing(grpc.StatusCode.RESOURCE_EXHAUSTED, retry_after_seconds=0.5)
    tills.gateway.script = [busy]
    till = await tills.open()
    await till.record("a")
    assert await till.flush()
    first, second = tills.gateway.calls
    assert second.at - first.at >= 0.5


async def test_without_a_hint_who_waits_cuts_a_pause_short(tills: Tills) -> None:
    tills.gateway.script = [refusing(grpc.StatusCode.UNAVAILABLE)]
    till = await tills.open(pace=NEVER_AGAIN)
    await till.record("a")
    await tills.gateway.wait_for_calls(1)
    assert await till.flush()


async def test_a_new_event_cuts_no_pause_short(tills: Tills) -> None:
    tills.gateway.script = [refusing(grpc.StatusCode.UNAVAILABLE)]
    till = await tills.open(pace=Pace(backoff_seconds=0.8))
    await till.record("a")
    await tills.gateway.wait_for_calls(1)
    await till.record("b")
    first, second = await tills.gateway.wait_for_calls(2)
    # The jitter halves a pause at most.
    assert second.at - first.at >= 0.4
    assert second.event_ids == ["a", "b"]


async def test_an_overloaded_gateway_gets_smaller_batches_until_it_takes_them(tills: Tills) -> None:
    busy = refusing(grpc.StatusCode.RESOURCE_EXHAUSTED, retry_after_seconds=0.01)
    tills.gateway.script = [busy, busy]
    till = await tills.open()
    await till.record(*ids(range(400)))
    assert await till.flush()
    assert [len(call.request.events) for call in tills.gateway.calls] == [400, 200, 100, 200, 100]
    assert list(tills.gateway.recorded) == ids(range(400))


async def test_a_call_without_an_answer_is_given_up_and_made_smaller_on_a_new_connection(
    tills: Tills,
) -> None:
    tills.gateway.script = [tills.gateway.hang]
    till = await tills.open(pace=Pace(call_seconds_max=0.3, backoff_seconds=0.02))
    await till.record(*ids(range(10)))
    assert await till.flush()
    assert [len(call.request.events) for call in tills.gateway.calls] == [10, 5, 5]
    first, second, third = [call.peer for call in tills.gateway.calls]
    assert first != second == third


@pytest.mark.parametrize(
    "code",
    [
        grpc.StatusCode.UNAUTHENTICATED,
        grpc.StatusCode.PERMISSION_DENIED,
        grpc.StatusCode.UNIMPLEMENTED,
        # Of a proxy: the gateway says which field.
        grpc.StatusCode.INVALID_ARGUMENT,
    ],
)
async def test_what_only_a_person_can_mend_is_seldom_tried_again_and_costs_no_event(
    tills: Tills, code: grpc.StatusCode
) -> None:
    tills.gateway.script = [refusing(code)]
    till = await tills.open(pace=NEVER_AGAIN)
    await till.record("a")
    await tills.gateway.wait_for_calls(1)
    assert not await till.flush(0.3)
    status = await till.status()
    assert status.trouble.startswith(code.name)
    assert (status.counts.waiting, len(tills.gateway.calls)) == (1, 1)


async def test_publishing_goes_on_by_itself_once_a_person_has_mended_it(tills: Tills) -> None:
    tills.gateway.script = [refusing(grpc.StatusCode.UNAUTHENTICATED)] * 3
    till = await tills.open()
    await till.record("a")
    assert await till.flush()
    assert (await till.status()).trouble == ""


async def test_one_event_that_makes_the_gateway_refuse_its_batch_harms_no_other(
    tills: Tills,
) -> None:
    def refuses_poison(
        request: ingest_pb2.PublishBatchRequest,
    ) -> list[ingest_pb2.PublishResult]:
        if any(each.event_id == "event-00005" for each in request.events):
            raise Refusal(grpc.StatusCode.INVALID_ARGUMENT, BAD)
        return tills.gateway.record(request)

    tills.gateway.script = [refuses_poison] * 100
    till = await tills.open()
    await till.record(*ids(range(40)))
    assert await till.flush()
    assert list(tills.gateway.recorded) == ids(range(5)) + ids(range(6, 40))
    [rejected] = await till.rejected()
    assert events_pb2.Event.FromString(rejected.content).event_id == "event-00005"
    assert rejected.problem == BAD


async def test_every_verdict_is_told_and_only_the_rejected_are_kept(tills: Tills) -> None:
    tills.gateway.script = [
        lambda request: [
            result(RECORDED),
            result(ingest_pb2.DISPOSITION_QUEUED),
            result(ingest_pb2.DISPOSITION_DUPLICATE),
            result(ingest_pb2.DISPOSITION_QUARANTINED, problem=BAD, quarantine_id="q-7"),
            result(ingest_pb2.DISPOSITION_REJECTED, problem=BAD),
        ]
    ]
    till = await tills.open()
    await till.record(*"abcde")
    assert await till.flush()
    counts = (await till.status()).counts
    assert (counts.recorded, counts.queued, counts.duplicate) == (1, 1, 1)
    assert (counts.quarantined, counts.rejected, counts.waiting) == (1, 1, 0)
    assert [each.event_id for each in till.results] == list("abcde")
    assert [each.quarantine_id for each in till.results] == ["", "", "", "q-7", ""]
    assert [each.problem.code for each in till.results[3:]] == [BAD.code, BAD.code]
    [rejected] = await till.rejected()
    assert rejected.problem == BAD


@pytest.mark.parametrize("said", [0, 3])
async def test_an_answer_with_another_number_of_results_settles_nothing(
    tills: Tills, said: int
) -> None:
    tills.gateway.script = [results_of(*[RECORDED] * said)]
    till = await tills.open()
    await till.record("a", "b")
    assert await till.flush()
    assert [call.event_ids for call in tills.gateway.calls] == [["a", "b"]] * 2


async def test_a_disposition_of_a_later_version_does_not_lose_the_event(tills: Tills) -> None:
    tills.gateway.script = [results_of(99), results_of(ingest_pb2.DISPOSITION_UNSPECIFIED)]
    till = await tills.open()
    await till.record("a")
    assert await till.flush()
    assert list(tills.gateway.recorded) == ["a"]


@dataclass
class Failed:
    """A call that got this status."""

    status: grpc.StatusCode
    hint_seconds: float = 0.0

    def code(self) -> grpc.StatusCode:
        return self.status

    def details(self) -> str:
        return "as the test has it"

    def trailing_metadata(self) -> Sequence[tuple[str, bytes | str]]:
        return Refusal(self.status, None, self.hint_seconds).status().trailing_metadata  # type: ignore[no-any-return]  # grpc_status has no types


def test_pauses_double_up_to_a_minute_and_begin_anew_after_a_success(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "till.spool")
    spool.add([event(event_id="a")])
    delivery = Delivery(spool, chance=lambda: 1.0)
    batch = delivery.next_batch()
    assert batch is not None
    away = Failed(grpc.StatusCode.UNAVAILABLE)
    waits = [delivery.failed(batch, away).wait_seconds for _ in range(9)]
    assert waits == [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0]
    recorded = ingest_pb2.PublishBatchResponse(results=[result(RECORDED)])
    assert delivery.answered(batch, recorded).wait_seconds == 0
    assert delivery.failed(batch, away).wait_seconds == 0.5
    spool.close()


@pytest.mark.parametrize(("hint", "waits"), [(7.0, 7.0), (90_000.0, 3600.0)])
def test_a_hint_is_kept_up_to_an_hour(tmp_path: Path, hint: float, waits: float) -> None:
    spool = Spool(tmp_path / "till.spool")
    spool.add([event(event_id="a")])
    delivery = Delivery(spool, chance=lambda: 0.0)
    batch = delivery.next_batch()
    assert batch is not None
    busy = Failed(grpc.StatusCode.RESOURCE_EXHAUSTED, hint)
    assert delivery.failed(batch, busy).wait_seconds == waits
    spool.close()


async def test_a_call_carries_at_most_500_events(tills: Tills) -> None:
    tills.gateway.script = [refusing(grpc.StatusCode.UNAVAILABLE)]
    till = await tills.open()
    await till.record(*ids(range(1200)))
    assert await till.flush()
    assert [len(call.request.events) for call in tills.gateway.calls] == [500, 500, 500, 200]


async def test_a_call_carries_at_most_4_mib(tills: Tills) -> None:
    comment = {"comment": "x" * 16_000}
    till = await tills.open()
    await till.record_all([event(event_id=each, personal=comment) for each in ids(range(400))])
    assert await till.flush()
    assert len(tills.gateway.calls) == 2
    assert all(call.request.ByteSize() <= 4 * 1024 * 1024 for call in tills.gateway.calls)


async def test_a_callback_that_fails_stops_nothing(
    tills: Tills, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(each: Result) -> None:
        raise RuntimeError("what a customer said")

    till = await tills.open(on_result=fails)
    await till.record("a")
    assert await till.flush()
    await till.record("b")
    assert await till.flush()
    assert list(tills.gateway.recorded) == ["a", "b"]
    assert "on_result raised RuntimeError" in caplog.text
    assert "what a customer said" not in caplog.text


async def test_closing_waits_for_no_call_and_loses_no_event(tills: Tills) -> None:
    tills.gateway.script = [tills.gateway.hang]
    till = await tills.open()
    await till.record("a")
    await tills.gateway.wait_for_calls(1)
    async with asyncio.timeout(5):
        await till.close()
    again = await tills.open()
    assert await again.flush()
    assert list(tills.gateway.recorded) == ["a"]


async def test_closing_publishes_what_waits_when_it_can(tills: Tills) -> None:
    till = await tills.open()
    await till.record(*ids(range(50)))
    await till.close(FLUSH_SECONDS)
    assert list(tills.gateway.recorded) == ids(range(50))


async def test_closing_twice_is_no_error(tills: Tills) -> None:
    till = await tills.open()
    await till.close()
    await till.close()


ENDS_WITHOUT_CLOSING = """
import asyncio, sys
from touchledger.v1 import events_pb2
from touchledger_client import AsyncClient, Client, Gateway
target, spool, kind = sys.argv[1:]
event = events_pb2.Event(event_id="a")

async def record():
    client = AsyncClient(Gateway(target, "tl_key", clear_text=True), spool)
    await client.open()
    await client.record(event)

if kind == "threads":
    Client(Gateway(target, "tl_key", clear_text=True), spool).record(event)
else:
    asyncio.run(record())
"""


async def test_a_program_that_ends_without_closing_ends_and_loses_nothing(tills: Tills) -> None:
    path = tills.folder / "till.spool"
    tills.gateway.script = [tills.gateway.hang] * 10
    run = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", ENDS_WITHOUT_CLOSING, tills.target, str(path), tills.kind),
        env={**os.environ, "PYTHONPATH": str(CLIENT)},
        stderr=asyncio.subprocess.PIPE,
    )
    _, told = await asyncio.wait_for(run.communicate(), FLUSH_SECONDS)
    assert (run.returncode, told) == (0, b"")
    tills.gateway.script = []
    till = await tills.open()
    assert await till.flush()
    assert list(tills.gateway.recorded) == ["a"]


async def test_events_that_the_disk_has_changed_are_rejected_and_the_others_published(
    tills: Tills,
) -> None:
    nobody = Gateway(f"127.0.0.1:{free_port()}", KEY, clear_text=True)
    offline = await tills.open(gateway=nobody, pace=NEVER_AGAIN)
    await offline.record("aaaaaaaa", "bbbbbbbb")
    await offline.close()
    path = tills.folder / "till.spool"
    path.write_bytes(path.read_bytes().replace(b"aaaaaaaa", b"aaaaaaab"))
    till = await tills.open()
    assert await till.flush()
    assert list(tills.gateway.recorded) == ["bbbbbbbb"]
    [rejected] = await till.rejected()
    assert rejected.problem.code == "SPOOL_DAMAGED"


async def test_the_key_stands_in_no_log_and_no_text(
    tills: Tills, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    tills.gateway.script = [refusing(grpc.StatusCode.UNAUTHENTICATED)]
    till = await tills.open()
    await till.record("a")
    assert await till.flush()
    secret = KEY.rpartition("_")[2]
    gateway = Gateway(tills.target, KEY, clear_text=True)
    shown = f"{gateway!r} {till.client!r} {vars(till.client)} {await till.status()}"
    assert secret not in shown
    assert "UNAUTHENTICATED" in caplog.text
    assert secret not in caplog.text


def test_who_waits_for_what_was_recorded_waits_until_its_result_is_told(
    tmp_path: Path, gateway: ScriptedGateway
) -> None:
    telling, go_on = threading.Event(), threading.Event()

    def told(each: Result) -> None:
        telling.set()
        go_on.wait(FLUSH_SECONDS)

    to = Gateway(gateway.start(), KEY, clear_text=True)
    with Client(to, tmp_path / "till.spool", on_result=told) as client:
        client.record(event(event_id="a"))
        assert telling.wait(FLUSH_SECONDS)
        assert client.status().counts.waiting == 0
        assert not client.flush(0.1)
        go_on.set()
        assert client.flush(FLUSH_SECONDS)


def test_the_example_of_the_readme_publishes_its_event(
    tmp_path: Path, gateway: ScriptedGateway
) -> None:
    [example] = re.findall(r"^```python\n(.*?)^```", README.read_text(), re.MULTILINE | re.DOTALL)
    here = example.replace(
        '"touchledger.example.com:443"', f'"{gateway.start()}", clear_text=True'
    ).replace("/var/lib/till", str(tmp_path))
    environment = {**os.environ, "PYTHONPATH": str(CLIENT), "TOUCHLEDGER_KEY": KEY}
    subprocess.run([sys.executable, "-c", here], env=environment, timeout=60, check=True)
    assert list(gateway.recorded) == ["till-3-000017"]


def test_the_key_comes_from_the_environment_where_none_is_given(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TOUCHLEDGER_KEY", f"{KEY}\n")
    assert Gateway("localhost:1").metadata == (("authorization", f"Bearer {KEY}"),)


@pytest.mark.parametrize("key", ["", "  ", "tl_one two", "tl_schlüssel", "tl_a\nb"])
def test_a_key_that_cannot_be_sent_is_refused_unquoted(
    key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TOUCHLEDGER_KEY", raising=False)
    with pytest.raises(ValueError, match="TOUCHLEDGER_KEY") as told:
        Gateway("localhost:1", key)
    assert not key.strip() or key.strip() not in str(told.value)


def secured(gateway: ScriptedGateway, authority: trustme.CA) -> str:
    certificate = authority.issue_cert("localhost")
    chain = certificate.cert_chain_pems[0].bytes()
    key = certificate.private_key_pem.bytes()
    return gateway.start(grpc.ssl_server_credentials([(key, chain)]))


def test_over_tls_the_key_goes_to_the_gateway_that_the_authority_vouches_for(
    tmp_path: Path, gateway: ScriptedGateway
) -> None:
    authority = trustme.CA()
    target = secured(gateway, authority)
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    with Client(Gateway(target, KEY, ca_file=tmp_path / "ca.pem"), tmp_path / "spool") as client:
        client.record(event(event_id="a"))
        assert client.flush(FLUSH_SECONDS)
    assert list(gateway.recorded) == ["a"]


def test_over_tls_a_gateway_that_the_authority_does_not_know_gets_nothing(
    tmp_path: Path, gateway: ScriptedGateway
) -> None:
    target = secured(gateway, trustme.CA())
    trustme.CA().cert_pem.write_to_path(tmp_path / "ca.pem")
    to = Gateway(target, KEY, ca_file=tmp_path / "ca.pem")
    client = Client(to, tmp_path / "spool", pace=FAST)
    try:
        client.record(event(event_id="a"))
        assert not client.flush(1.0)
        assert client.status().trouble.startswith("UNAVAILABLE")
    finally:
        client.close(0)
    assert gateway.calls == []


def test_without_a_word_of_clear_text_the_key_is_not_sent_in_it(
    tmp_path: Path, gateway: ScriptedGateway
) -> None:
    client = Client(Gateway(gateway.start(), KEY), tmp_path / "spool", pace=FAST)
    try:
        client.record(event(event_id="a"))
        assert not client.flush(1.0)
    finally:
        client.close(0)
    assert gateway.calls == []
