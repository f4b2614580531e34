"""Any process may stop or die at any time: no acked event is lost, callers repeat, all recover."""

import asyncio
import contextlib
import http.client
import itertools
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import asyncpg
import grpc
import psutil
import pytest
from google.protobuf import json_format
from grpc_health.v1 import health_pb2, health_pb2_grpc

from services.chassis.client import open_channel
from services.chassis.settings import ServiceSettings
from tests.acceptance.test_torture import REPEATABLE, eventually, publish, retry_after, rows, status
from tests.support.events import OCCURRED_AT, event
from tests.support.stack import Service, Stack, free_port, running_stack
from touchledger.v1 import ingest_pb2, journal_pb2
from touchledger.v1.ingest_pb2_grpc import IngestServiceStub
from touchledger.v1.journal_pb2_grpc import JournalServiceStub

SERVICES = ("touchpoint", "scoring", "gateway")
DEADLINE_SECONDS = 60
BATCH = 20
# Calls at once: many wait in a process when it is stopped, and no more than appends may wait.
BURST = 200
STOP_GRACE_SECONDS: float = ServiceSettings.model_fields["stop_grace_seconds"].default
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


@dataclass
class Load:
    """Publishers that go on until the end of the block, over gRPC and HTTP, each batch until it is acked."""

    stack: Stack
    # Event id to position.
    acked: dict[str, int] = field(default_factory=dict)
    failures: list[grpc.Call] = field(default_factory=list)
    _ended: threading.Event = field(default_factory=threading.Event)
    # Set when the test has failed, so that nobody repeats what nobody waits for.
    _given_up: threading.Event = field(default_factory=threading.Event)
    _changed: threading.Condition = field(default_factory=threading.Condition)
    _numbers: Iterator[int] = field(default_factory=itertools.count)
    _running: list[Future[None]] = field(default_factory=list)

    @contextlib.contextmanager
    def running(self) -> Iterator["Load"]:
        with ThreadPoolExecutor() as threads:
            self._running = [threads.submit(self._over_grpc) for _ in range(3)]
            self._running.append(threads.submit(self._over_http))
            try:
                yield self
            except BaseException:
                self._given_up.set()
                raise
            finally:
                self._ended.set()
        for each in self._running:
            each.result()

    def wait_for_more(self, events: int = 200) -> None:
        """Until so many more are acked."""
        with self._changed:
            wanted = len(self.acked) + events
            enough = self._changed.wait_for(
                lambda: len(self.acked) >= wanted or any(each.done() for each in self._running),
                DEADLINE_SECONDS,
            )
        for each in self._running:
            if each.done():
                each.result()  # raises what it has failed with
        assert enough

    def wait_for_failure(self) -> None:
        """Until some call was refused that was not before."""
        before = len(self.failures)
        eventually("a call is refused", lambda: len(self.failures) > before, DEADLINE_SECONDS)

    def _ids(self) -> list[str]:
        number = next(self._numbers)
        return [f"event-{number}-{index}" for index in range(BATCH)]

    def _note(self, acked: dict[str, int]) -> None:
        with self._changed:
            self.acked |= acked
            self._changed.notify_all()

    def _over_grpc(self) -> None:
        with grpc.insecure_channel(self.stack.gateway.address) as channel:
            ingest = IngestServiceStub(channel)
            while not self._ended.is_set():
                ids = self._ids()
                events = [event(event_id=each) for each in ids]
                results = publish(
                    ingest,
                    events,
                    self.stack.metadata,
                    self.failures,
                    self._given_up,
                    # The codes of a stop are those of the test of a burst below.
                    {*REPEATABLE, grpc.StatusCode.CANCELLED},
                )
                assert not any(result.HasField("problem") for result in results)
                positions = [result.position.number for result in results]
                if not self._given_up.is_set():
                    self._note(dict(zip(ids, positions, strict=True)))

    def _over_http(self) -> None:
        while not self._ended.is_set():
            self._note(self._posted(self._ids()))

    def _posted(self, ids: list[str]) -> dict[str, int]:
        body = json.dumps(
            [
                {
                    "event_id": each,
                    "occurred_at": OCCURRED_AT,
                    "touchpoint": "web.shop",
                    "interaction": {"stage": "STAGE_PURCHASE"},
                }
                for each in ids
            ]
        )
        headers = {
            "authorization": f"Bearer {self.stack.key}",
            "content-type": "application/json",
        }
        deadline = time.monotonic() + DEADLINE_SECONDS
        while not self._given_up.wait(0):
            # A connection that is cut or refused says as little as 503: repeat.
            with contextlib.suppress(OSError, http.client.HTTPException):
                answer, document = request(self.stack, "POST", "/v1/events", body, headers)
                if answer == 200:
                    positions = [int(each["position"]["number"]) for each in document["results"]]
                    return dict(zip(ids, positions, strict=True))
                assert answer == 503, document
            assert time.monotonic() < deadline
            self._given_up.wait(0.1)
        return {}


def request(
    stack: Stack,
    method: str,
    path: str,
    body: str | None = None,
    headers: dict[str, str] | None = None,
) -> tuple[int, dict[str, list[dict[str, dict[str, str]]]]]:
    host, _, port = stack.http_address.partition(":")
    with contextlib.closing(http.client.HTTPConnection(host, int(port), timeout=15)) as connection:
        connection.request(method, path, body, headers or {})
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())


def assert_nothing_lost(stack: Stack, load: Load) -> None:
    """What was acked is stored where it was said to be, densely, and scored."""
    stored = rows(
        stack.urls["touchpoint"],
        "SELECT notification_id, state FROM journal.stored_events ORDER BY notification_id",
    )
    assert [row["notification_id"] for row in stored] == list(range(1, len(stored) + 1))
    # The id stands in the stored bytes as it was published: the first field of an Event.
    at = {row["notification_id"]: row["state"] for row in stored}
    for event_id, position in load.acked.items():
        assert at[position][2 : 2 + at[position][1]] == event_id.encode()
    assert len(load.acked) == len(stored)
    eventually("scoring catches up", lambda: status(stack).checkpoint.number == len(stored))
    told = status(stack)
    assert (told.head.number, told.lag, told.missing_positions) == (len(stored), 0, 0)


def assert_told_to_repeat(failures: list[grpc.Call]) -> None:
    """By the gateway, which says when."""
    assert {call.code() for call in failures} == {grpc.StatusCode.UNAVAILABLE}
    unsaid = [call.details() for call in failures if retry_after(call) is None]
    assert not unsaid


def health(service: Service, name: str = "") -> "health_pb2.HealthCheckResponse.ServingStatus":
    assert service.process is not None
    code = service.process.poll()
    assert code is None, f"{service.name} ended with {code}: {service.log.read_text()[-3000:]}"
    with grpc.insecure_channel(service.address) as channel:
        answer: health_pb2.HealthCheckResponse = health_pb2_grpc.HealthStub(channel).Check(
            health_pb2.HealthCheckRequest(service=name), timeout=5, wait_for_ready=True
        )
        return answer.status


def ready(service: Service) -> bool:
    return bool(health(service) == SERVING)


def not_ready(service: Service) -> bool:
    return bool(health(service) == NOT_SERVING)


def stop_under_load(service: Service) -> None:
    """SIGTERM: it ends by itself, with exit code 0, within the grace that calls under way have."""
    began = time.monotonic()
    assert service.stop() == 0, service.log.read_text()[-2000:]
    assert time.monotonic() - began < STOP_GRACE_SECONDS


def start(service: Service) -> None:
    service.start()
    service.wait_until_ready()


# Asked to stop


def test_a_touchpoint_that_is_asked_to_stop_loses_nothing_and_another_takes_over(
    tmp_path: Path, new_database: Callable[[str], str]
) -> None:
    urls = {name: new_database(name) for name in SERVICES}
    with running_stack(tmp_path, urls, touchpoints=2) as stack:
        one, other = stack.touchpoints
        with Load(stack).running() as load:
            load.wait_for_more()
            stop_under_load(one)
            load.wait_for_more()
            stop_under_load(other)
            load.wait_for_failure()
            start(one)
            load.wait_for_more()
            start(other)
            load.wait_for_more()
        assert_nothing_lost(stack, load)
        assert_told_to_repeat(load.failures)


def test_callers_that_wait_in_a_gateway_that_is_asked_to_stop_are_answered_or_told_unavailable(
    stack: Stack,
) -> None:
    with grpc.insecure_channel(stack.gateway.address) as channel:
        ingest = IngestServiceStub(channel)
        calls = [
            ingest.Publish.future(
                ingest_pb2.PublishRequest(event=event(event_id=f"event-{number}")),
                metadata=stack.metadata,
                timeout=DEADLINE_SECONDS,
            )
            for number in range(BURST)
        ]
        assert calls[0].code() is grpc.StatusCode.OK
        stop_under_load(stack.gateway)
        codes = Counter(call.code().name for call in calls)
    assert codes.keys() <= {"OK", "UNAVAILABLE"}, codes


async def test_callers_that_wait_in_a_touchpoint_that_is_asked_to_stop_are_answered_by_another(
    tmp_path: Path, new_database: Callable[[str], str]
) -> None:
    urls = {name: await asyncio.to_thread(new_database, name) for name in SERVICES}
    with running_stack(tmp_path, urls, touchpoints=2) as stack:
        target = "ipv4:" + ",".join(each.address for each in stack.touchpoints)
        # As the gateway calls it.
        async with open_channel(target) as channel:
            journal = JournalServiceStub(channel)
            first = asyncio.Event()
            codes = Counter[str]()

            async def append(number: int) -> None:
                try:
                    await journal.Append(appending(number), timeout=DEADLINE_SECONDS)
                    codes["OK"] += 1
                except grpc.aio.AioRpcError as error:
                    codes[error.code().name] += 1
                first.set()

            async with asyncio.TaskGroup() as tasks:
                for number in range(BURST):
                    tasks.create_task(append(number))
                await first.wait()
                await asyncio.to_thread(stop_under_load, stack.touchpoints[0])
    assert codes == {"OK": BURST}


def appending(number: int) -> journal_pb2.AppendRequest:
    return journal_pb2.AppendRequest(
        tenant="acme",
        source="till",
        entries=[
            journal_pb2.AppendEntry(
                event_id=f"event-{number}",
                topic="touchledger.interaction.v1",
                content_digest=bytes(32),
            )
        ],
    )


def test_scoring_and_gateway_that_are_asked_to_stop_lose_nothing(stack: Stack) -> None:
    with Load(stack).running() as load:
        load.wait_for_more()
        stop_under_load(stack.scoring)
        load.wait_for_more()
        start(stack.scoring)
        without_scoring = [call.details() for call in load.failures]
        stop_under_load(stack.gateway)
        load.wait_for_failure()
        start(stack.gateway)
        load.wait_for_more()
    assert_nothing_lost(stack, load)
    assert without_scoring == [], "publishing needs no scoring"


@pytest.mark.parametrize("protocol", ["gRPC", "HTTP"])
def test_a_publish_under_way_is_answered_although_all_are_asked_to_stop(
    stack: Stack, protocol: str
) -> None:
    [journal] = stack.touchpoints
    asked = (journal, stack.gateway)
    closing = {service.address for service in asked}
    if protocol == "HTTP":
        closing.add(stack.http_address)
    with ThreadPoolExecutor() as threads:
        with append_lock(stack) as is_waited_for:
            answer = threads.submit(publish_over, stack, protocol)
            eventually("the publish is under way", is_waited_for, DEADLINE_SECONDS)
            codes = [threads.submit(service.stop) for service in asked]
            # Only then is the answer possible.
            for address in closing:
                eventually(f"{address} is closed", lambda at=address: closed(at), DEADLINE_SECONDS)  # type: ignore[misc]  # of a default in a lambda
        assert answer.result(DEADLINE_SECONDS) == "DISPOSITION_RECORDED"
        assert [code.result() for code in codes] == [0, 0]


def closed(address: str) -> bool:
    """Whether nobody listens there any more."""
    host, _, port = address.partition(":")
    with socket.socket() as probe:
        return probe.connect_ex((host, int(port))) != 0


@contextlib.contextmanager
def append_lock(stack: Stack) -> Iterator[Callable[[], bool]]:
    """The lock of the journal in other hands; tells whether an append waits for it."""
    with asyncio.Runner() as runner:
        connection = runner.run(asyncpg.connect(stack.urls["touchpoint"]))
        runner.run(connection.execute("SELECT pg_advisory_lock(7310114002)"))
        yield lambda: bool(
            runner.run(
                connection.fetchval(
                    "SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted "
                    "AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))"
                )
            )
        )
        runner.run(connection.close())


def publish_over(stack: Stack, protocol: str) -> str:
    """The disposition."""
    given = event(event_id="under way")
    if protocol == "gRPC":
        failures: list[grpc.Call] = []
        with grpc.insecure_channel(stack.gateway.address) as channel:
            [result] = publish(IngestServiceStub(channel), [given], stack.metadata, failures)
        assert not failures
        return ingest_pb2.Disposition.Name(result.disposition)
    headers = {"authorization": f"Bearer {stack.key}", "content-type": "application/json"}
    code, document = request(stack, "POST", "/v1/events", json_format.MessageToJson(given), headers)
    assert code == 200, document
    return str(document["results"][0]["disposition"])


# In any order


def test_services_start_in_any_order_and_follow_the_journal_s_comings_and_goings(
    stack: Stack,
) -> None:
    for service in stack.services:
        service.kill()
    [journal] = stack.touchpoints
    # The others first. Questions can be answered without the journal, publishes can't.
    stack.gateway.start()
    start(stack.scoring)
    assert_gateway_waits(stack)
    start(journal)
    assert_gateway_works(stack)
    # And again, with everything running.
    journal.kill()
    assert_gateway_waits(stack)
    assert health(stack.scoring) == SERVING
    start(journal)
    assert_gateway_works(stack)


def assert_gateway_waits(stack: Stack) -> None:
    eventually("gateway is not ready", lambda: not_ready(stack.gateway), DEADLINE_SECONDS)
    code, document = request(stack, "GET", "/readyz")
    assert code == 503, document
    assert health(stack.gateway, "liveness") == SERVING
    assert request(stack, "GET", "/livez")[0] == 200
    assert health(stack.scoring, "liveness") == SERVING


def assert_gateway_works(stack: Stack) -> None:
    eventually("gateway is ready", lambda: ready(stack.gateway), DEADLINE_SECONDS)
    assert request(stack, "GET", "/readyz")[0] == 200
    failures: list[grpc.Call] = []
    with grpc.insecure_channel(stack.gateway.address) as channel:
        again = event(event_id=f"event-{status(stack).head.number}")
        [result] = publish(IngestServiceStub(channel), [again], stack.metadata, failures)
    assert not failures, "readiness said that an ack is possible"
    number = result.position.number
    eventually("scoring follows", lambda: status(stack).checkpoint.number == number)


# The database


# In a process of its own: the kernel lets no process with more than one thread into a user namespace, and
# gRPC starts threads in each child of a process that has a channel open.
LAUNCHER = """
import sys
from pathlib import Path
from services.cli.data_folder import LogFile
from services.cli.embedded_postgres import EmbeddedPostgres

folder = Path(sys.argv[1])
server = EmbeddedPostgres(
    folder / "data", log=LogFile(folder / "postgres.log"), password="test", port=int(sys.argv[2])
)
server.start()
print(server.admin_url, flush=True)
sys.stdin.read()
server.stop()
"""


class OwnServer:
    """A PostgreSQL of these tests' own, to stop, kill and misconfigure."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._port = free_port()
        self._launcher: subprocess.Popen[str] | None = None
        self.admin_url = ""

    def start(self) -> None:
        """Unless it runs."""
        if self._launcher is not None:
            return
        self._launcher = subprocess.Popen(
            [sys.executable, "-c", LAUNCHER, str(self._folder), str(self._port)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        )
        assert self._launcher.stdout is not None
        self.admin_url = self._launcher.stdout.readline().strip()
        assert self.admin_url, (self._folder / "postgres.log").read_text()[-2000:]

    def stop(self) -> None:
        """Fast shutdown."""
        if self._launcher is not None:
            with self._launcher as launcher:
                launcher.communicate()
            self._launcher = None

    def crash(self) -> None:
        """kill -9 of the postmaster; the launcher tidies up behind it."""
        pid = int((self._folder / "data" / "postmaster.pid").read_text().split()[0])
        os.kill(pid, signal.SIGKILL)
        self.stop()

    @contextlib.contextmanager
    def silent(self) -> Iterator[None]:
        """Connections stay, the kernel takes up new ones, and nobody answers: as if packets were lost."""
        postmaster = psutil.Process(
            int((self._folder / "data" / "postmaster.pid").read_text().split()[0])
        )
        postmaster.suspend()
        stopped = [postmaster, *postmaster.children()]
        for process in stopped[1:]:
            process.suspend()
        try:
            yield
        finally:
            for process in stopped:
                process.resume()

    def execute(self, *statements: str) -> None:
        async def run() -> None:
            connection = await asyncpg.connect(self.admin_url)
            try:
                for statement in statements:
                    await connection.execute(statement)
            finally:
                await connection.close()

        asyncio.run(run())


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnServer]:
    made = OwnServer(tmp_path_factory.mktemp("own-postgres"))
    made.start()
    yield made
    made.stop()


@contextlib.contextmanager
def stack_on(server: OwnServer, folder: Path) -> Iterator[Stack]:
    databases = {name: f"{folder.name.replace('-', '_')}_{name}" for name in SERVICES}
    for database in databases.values():
        server.execute(f"CREATE DATABASE {database}")
    base = server.admin_url.rpartition("/")[0]
    urls = {name: f"{base}/{database}" for name, database in databases.items()}
    with running_stack(folder, urls) as stack:
        yield stack


@pytest.fixture(scope="module")
def on_own_server(server: OwnServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with stack_on(server, tmp_path_factory.mktemp("own-stack")) as stack:
        yield stack


def test_a_database_that_stops_or_crashes_under_load_loses_nothing_and_all_recover(
    server: OwnServer, on_own_server: Stack
) -> None:
    stack = on_own_server
    try:
        with Load(stack).running() as load:
            load.wait_for_more()
            server.stop()
            assert_all_wait(stack, load)
            server.start()
            assert_all_work(stack, load)
            server.crash()
            assert_all_wait(stack, load)
            server.start()
            assert_all_work(stack, load)
    finally:
        server.start()  # for the tests below
    assert_told_to_repeat(load.failures)
    # No process was started again.
    assert {service.process.poll() for service in stack.services if service.process} == {None}
    assert_nothing_lost(stack, load)


def test_a_database_that_does_not_answer_keeps_no_service_from_stopping_in_time(
    server: OwnServer, tmp_path: Path
) -> None:
    folder = tmp_path / "silent"
    folder.mkdir()
    with stack_on(server, folder) as stack:
        with Load(stack).running() as load:
            load.wait_for_more()
            with server.silent():
                load.wait_for_failure()
                for service in stack.services:
                    assert service.process is not None
                    service.process.send_signal(signal.SIGTERM)
                for service in stack.services:
                    assert service.process is not None
                    # Half a minute is what one statement alone would be given.
                    code = service.process.wait(2 * STOP_GRACE_SECONDS)
                    assert code == 0, service.log.read_text()
            for service in stack.services:
                start(service)
            load.wait_for_more()
        assert_nothing_lost(stack, load)


def assert_all_wait(stack: Stack, load: Load) -> None:
    load.wait_for_failure()
    for service in stack.services:
        eventually(f"{service.name} is not ready", lambda s=service: not_ready(s))  # type: ignore[misc]  # of a default in a lambda
        assert health(service, "liveness") == SERVING
    assert request(stack, "GET", "/livez")[0] == 200
    assert request(stack, "GET", "/readyz")[0] == 503


def assert_all_work(stack: Stack, load: Load) -> None:
    load.wait_for_more()
    for service in stack.services:
        eventually(f"{service.name} is ready", lambda s=service: ready(s))  # type: ignore[misc]  # of a default in a lambda


@pytest.mark.parametrize("setting", ["fsync", "full_page_writes", "synchronous_commit"])
def test_an_ack_is_not_offered_while_it_would_not_be_durable(
    server: OwnServer, on_own_server: Stack, setting: str
) -> None:
    [journal], gateway = on_own_server.touchpoints, on_own_server.gateway
    server.execute(f"ALTER SYSTEM SET {setting} = off", "SELECT pg_reload_conf()")
    try:
        for service in (journal, gateway):
            eventually(f"{service.name} is not ready", lambda s=service: not_ready(s))  # type: ignore[misc]  # of a default in a lambda
        assert f'"reason": "{setting}=off"' in journal.log.read_text()
        assert health(journal, "liveness") == SERVING
    finally:
        server.execute(f"ALTER SYSTEM RESET {setting}", "SELECT pg_reload_conf()")
    for service in (journal, gateway):
        eventually(f"{service.name} is ready", lambda s=service: ready(s))  # type: ignore[misc]  # of a default in a lambda


def test_read_models_of_another_journal_are_offered_to_nobody_until_it_is_back(
    stack: Stack,
) -> None:
    url = stack.urls["touchpoint"]
    [(journal_id,)] = rows(url, "SELECT journal_id::text FROM journal.head")
    assert publish_over(stack, "gRPC") == "DISPOSITION_RECORDED"
    eventually("all is projected", lambda: status(stack).lag == 0)

    rows(url, "UPDATE journal.head SET journal_id = gen_random_uuid() RETURNING 1")
    stack.touchpoints[0].kill()
    start(stack.touchpoints[0])

    eventually("scoring is not ready", lambda: not_ready(stack.scoring))
    assert "projection stands still" in stack.scoring.log.read_text()
    rows(url, f"UPDATE journal.head SET journal_id = '{journal_id}' RETURNING 1")
    stack.touchpoints[0].kill()
    start(stack.touchpoints[0])
    eventually("scoring is ready", lambda: ready(stack.scoring))
