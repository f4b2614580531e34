"""`replay` as a user runs it, against a gateway that only records, in this process and killed in its own."""

import asyncio
import itertools
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Iterator
from concurrent import futures
from pathlib import Path
from typing import Any

import grpc
import pytest
import typer
from typer.testing import CliRunner, Result

from services.cli.publisher import Line
from services.cli.replay import LINE_BYTES_MAX, Lines, Start, replay
from touchledger.v1 import events_pb2, ingest_pb2, ingest_pb2_grpc


class Gateway(ingest_pb2_grpc.IngestServiceServicer):
    """Records every event once; refuses the touchpoint "bad"; answers at most `calls_max` calls."""

    def __init__(self) -> None:
        self.journal: list[str] = []
        self.calls = 0
        self.calls_max = 1_000_000

    async def GetOutcomes(
        self, request: ingest_pb2.GetOutcomesRequest, context: grpc.aio.ServicerContext
    ) -> ingest_pb2.GetOutcomesResponse:
        raise NotImplementedError

    def PublishStream(
        self, request_iterator: Any, context: Any
    ) -> Iterator[ingest_pb2.PublishStreamResponse]:
        raise NotImplementedError

    def Publish(
        self, request: ingest_pb2.PublishRequest, context: Any
    ) -> ingest_pb2.PublishResponse:
        raise NotImplementedError

    def PublishBatch(
        self, request: ingest_pb2.PublishBatchRequest, context: Any
    ) -> ingest_pb2.PublishBatchResponse:
        self.calls += 1
        if self.calls > self.calls_max:
            context.abort(grpc.StatusCode.UNAUTHENTICATED, "the key was taken back")
        response = ingest_pb2.PublishBatchResponse()
        for event in request.events:
            result = response.results.add()
            if event.touchpoint == "bad":
                result.disposition = ingest_pb2.DISPOSITION_REJECTED
                result.problem.code = "INVALID_TOUCHPOINT"
                result.problem.field = "touchpoint"
                result.problem.got = '"bad"'
                result.problem.want = "a good one"
            elif event.event_id in self.journal:
                result.disposition = ingest_pb2.DISPOSITION_DUPLICATE
            else:
                self.journal.append(event.event_id)
                result.disposition = ingest_pb2.DISPOSITION_RECORDED
        return response


@pytest.fixture
def gateway() -> Gateway:
    return Gateway()


@pytest.fixture
def data(gateway: Gateway, tmp_path: Path) -> Iterator[Path]:
    """The data folder of a system that runs in this process."""
    # One thread: calls are answered in the order they came, so that the first batches settle first.
    server = grpc.server(futures.ThreadPoolExecutor(1))
    ingest_pb2_grpc.add_IngestServiceServicer_to_server(gateway, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    folder = tmp_path / "data"
    write_system(folder, port)
    yield folder
    server.stop(None).wait()


def write_system(folder: Path, port: int) -> None:
    folder.mkdir()
    (folder / "local.key").write_text("tl_local")
    (folder / "system.json").write_text(
        json.dumps(
            {
                "pid": os.getpid(),
                "grpc": f"127.0.0.1:{port}",
                "http": "",
                "sql": "",
                "key_file": str(folder / "local.key"),
            }
        )
    )


def command(*args: object) -> Result:
    app = typer.Typer()
    app.command()(replay)
    return CliRunner().invoke(app, [str(each) for each in args])


def ndjson(path: Path, first: int, last: int) -> Path:
    lines = (f'{{"eventId": "e{n}", "touchpoint": "a"}}' for n in range(first, last + 1))
    path.write_text("\n".join(lines) + "\n")
    return path


def counts(run: Result) -> dict[str, int]:
    return {
        name: count for name, count in json.loads(run.stdout).items() if name.isupper() and count
    }


def test_a_file_is_published_and_a_second_time_shows_duplicates(
    gateway: Gateway, data: Path, tmp_path: Path
) -> None:
    file = ndjson(tmp_path / "a.ndjson", 1, 1200)
    first = command(file, "--data", data, "--json")
    second = command(file, "--data", data, "--json")
    assert (first.exit_code, counts(first)) == (0, {"RECORDED": 1200})
    assert (second.exit_code, counts(second)) == (0, {"DUPLICATE": 1200})
    assert "resuming" not in second.stderr
    assert len(gateway.journal) == 1200


def test_the_table_names_every_disposition(data: Path, tmp_path: Path) -> None:
    run = command(ndjson(tmp_path / "a.ndjson", 1, 1500), "--data", data)
    words = run.stdout.replace(",", "").split()
    rows = dict(itertools.pairwise(words))
    assert (rows["RECORDED"], rows["REJECTED"]) == ("1500", "0")
    assert run.stderr.startswith("1,500 events in ")
    assert "\x1b" not in run.stdout + run.stderr


def test_lines_that_are_refused_stop_nothing_and_are_named(
    gateway: Gateway, data: Path, tmp_path: Path
) -> None:
    file = tmp_path / "a.ndjson"
    file.write_text(
        '{"eventId": "e1"}\n\n{"eventId": "e2", "x": 1}\n'
        '{"eventId": "e3", "touchpoint": "bad"}\n{"eventId": "e4"}'
    )
    run = command(file, "--data", data, "--json")
    assert (run.exit_code, counts(run)) == (1, {"RECORDED": 2, "REJECTED": 2})
    assert gateway.journal == ["e1", "e4"]
    problems = json.loads(run.stdout)["problems"]
    assert [(each["line"], each["event_id"], each["code"], each["field"]) for each in problems] == [
        (3, "", "UNKNOWN_FIELD", "x"),
        (4, "e3", "INVALID_TOUCHPOINT", "touchpoint"),
    ]
    for_people = command(file, "--data", data).stderr
    assert (
        "line 4 'e3': touchpoint: got \"bad\", want a good one (INVALID_TOUCHPOINT)" in for_people
    )


def test_cut_off_it_resumes_behind_the_last_settled_line(
    gateway: Gateway, data: Path, tmp_path: Path
) -> None:
    file = ndjson(tmp_path / "a.ndjson", 1, 5000)
    gateway.calls_max = 6
    cut = command(file, "--data", data, "--json")
    assert cut.exit_code == 3
    assert "UNAUTHENTICATED: the key was taken back" in cut.stderr
    assert json.loads(cut.stdout)["complete"] is False
    settled = json.loads(cut.stdout)["settled_through"]
    assert f"run it again to resume after line {settled}" in cut.stderr

    gateway.calls_max = 1_000_000
    rest = command(file, "--data", data, "--json")
    assert f"resuming after line {settled}; the counts are of this run alone" in rest.stderr
    assert (rest.exit_code, json.loads(rest.stdout)["resumed_after"]) == (0, settled)
    assert sum(counts(rest).values()) == 5000 - settled
    assert sorted(gateway.journal) == sorted(f"e{n}" for n in range(1, 5001))
    assert list((data / "replay").iterdir()) == []


def test_a_place_that_cannot_be_kept_stops_nothing(data: Path, tmp_path: Path) -> None:
    (data / "replay").write_text("in the way")
    run = command(ndjson(tmp_path / "a.ndjson", 1, 5000), "--data", data, "--json")
    assert (run.exit_code, counts(run)) == (0, {"RECORDED": 5000})
    assert run.stderr.count("a later run can't resume") == 1


def test_from_the_start_means_no_resuming(gateway: Gateway, data: Path, tmp_path: Path) -> None:
    file = ndjson(tmp_path / "a.ndjson", 1, 5000)
    gateway.calls_max = 6
    command(file, "--data", data)
    gateway.calls_max = 1_000_000
    run = command(file, "--data", data, "--json", "--from-start")
    assert sum(counts(run).values()) == 5000


@pytest.mark.parametrize("change", ["size", "time", "key", "state"])
def test_what_is_not_the_same_input_of_the_same_source_starts_anew(
    gateway: Gateway, data: Path, tmp_path: Path, change: str
) -> None:
    file = ndjson(tmp_path / "a.ndjson", 1, 5000)
    gateway.calls_max = 6
    command(file, "--data", data)
    gateway.calls_max = 1_000_000
    key = []
    if change == "size":
        ndjson(file, 0, 5000)
    elif change == "time":
        os.utime(file, ns=(1, 1))
    elif change == "key":
        key = ["--key", "tl_other"]
    else:
        next((data / "replay").iterdir()).write_text("")
    run = command(file, "--data", data, "--json", *key)
    assert (run.exit_code, json.loads(run.stdout)["resumed_after"]) == (0, 0)


def test_the_tables_of_olist_are_published(gateway: Gateway, data: Path, tmp_path: Path) -> None:
    tables = {
        "customers.csv": ["customer_id,customer_unique_id", "c1,p1"],
        "items.csv": ["order_id"],
        "payments.csv": ["order_id,payment_value", "o1,1"],
        "orders.csv": [
            "order_id,customer_id,order_status,order_purchase_timestamp,order_approved_at,"
            "order_delivered_carrier_date,order_delivered_customer_date,"
            "order_estimated_delivery_date",
            "o1,c1,shipped,2018-06-04 16:44:48,,,,2018-06-28 00:00:00",
        ],
        "reviews.csv": [
            "review_id,order_id,review_score,review_comment_title,review_comment_message,"
            "review_creation_date,review_answer_timestamp",
        ],
    }
    folder = tmp_path / "olist"
    folder.mkdir()
    for name, lines in tables.items():
        (folder / name).write_text("\n".join(lines))
    run = command("--format", "olist", folder, "--data", data, "--json")
    assert (run.exit_code, counts(run)) == (0, {"RECORDED": 2})
    assert gateway.journal == ["purchase:o1", "promise:o1"]

    (folder / "payments.csv").write_text("order_id,payment_value\no1,much")
    bad = command("--format", "olist", folder, "--data", data)
    assert bad.exit_code == 2
    assert "payments.csv line 2 column payment_value: got 'much', want a number" in bad.stderr


def test_a_file_that_cannot_be_read_is_bad_usage(data: Path, tmp_path: Path) -> None:
    missing = command(tmp_path / "none", "--data", data)
    assert (missing.exit_code, "none: No such file or directory" in missing.stderr) == (2, True)
    folder = command(tmp_path, "--data", data)
    assert (folder.exit_code, "got a folder, want a file, or --format olist" in folder.stderr) == (
        2,
        True,
    )


def test_without_a_system_it_says_how_to_get_one(tmp_path: Path) -> None:
    file = ndjson(tmp_path / "a.ndjson", 1, 1)
    run = command(file, "--data", tmp_path / "none")
    assert (run.exit_code, "start one with `touchledger up" in run.stderr) == (3, True)


def test_a_system_that_is_away_is_given_up(tmp_path: Path) -> None:
    write_system(tmp_path / "data", 9)  # nobody listens there
    file = ndjson(tmp_path / "a.ndjson", 1, 1)
    run = command(file, "--data", tmp_path / "data", "--give-up-after", "1")
    assert (run.exit_code, "last answer: UNAVAILABLE" in run.stderr) == (3, True)


def lines_of(data: bytes, chunk_bytes: int) -> list[Line]:
    lines = Lines()
    found: list[Line] = []
    for at in range(0, len(data), chunk_bytes):
        found += lines.feed(data[at : at + chunk_bytes])
    return found + list(lines.rest())


@pytest.mark.parametrize("chunk_bytes", [1, 2, 7, 1000])
def test_lines_are_the_same_however_they_come(chunk_bytes: int) -> None:
    data = b'\xef\xbb\xbf{"eventId": "a"}\r\n\n  \n{"eventId": "b"}\nno json\n{"eventId": "c"}'
    found = lines_of(data, chunk_bytes)
    assert [(each.number, each.end) for each in found] == [(1, 21), (4, 42), (5, 50), (6, 66)]
    ids = [each.content.event_id for each in found if isinstance(each.content, events_pb2.Event)]
    assert ids == ["a", "b", "c"]


@pytest.mark.parametrize("chunk_bytes", [1000, 300_000, 4_000_000])
def test_a_line_without_end_is_a_problem_and_takes_no_memory(chunk_bytes: int) -> None:
    long = b"x" * (2 * LINE_BYTES_MAX)
    found = lines_of(b'{"eventId": "a"}\n' + long + b'\n{"eventId": "b"}\n' + long, chunk_bytes)
    assert [each.number for each in found] == [1, 2, 3, 4]
    problem = found[1].content
    assert not isinstance(problem, events_pb2.Event)
    assert (problem.code, problem.got) == ("LINE_TOO_LONG", f"a line of {len(long)} bytes")


def test_numbers_and_ends_go_on_behind_a_start() -> None:
    lines = Lines(Start(7, 100))
    assert [(each.number, each.end) for each in lines.feed(b"{}\n")] == [(8, 103)]


class HalfWay(ingest_pb2_grpc.IngestServiceServicer):
    """Answers the first batches; then holds every call, and says so."""

    def __init__(self) -> None:
        self.holding = asyncio.Event()
        self.took = asyncio.Event()
        self.hold = True
        self.taken: list[str] = []

    async def GetOutcomes(
        self, request: ingest_pb2.GetOutcomesRequest, context: grpc.aio.ServicerContext
    ) -> ingest_pb2.GetOutcomesResponse:
        raise NotImplementedError

    def PublishStream(
        self, request_iterator: Any, context: Any
    ) -> AsyncIterator[ingest_pb2.PublishStreamResponse]:
        raise NotImplementedError

    async def Publish(
        self, request: ingest_pb2.PublishRequest, context: Any
    ) -> ingest_pb2.PublishResponse:
        raise NotImplementedError

    async def PublishBatch(
        self, request: ingest_pb2.PublishBatchRequest, context: Any
    ) -> ingest_pb2.PublishBatchResponse:
        if self.hold and len(self.taken) >= 3000 and "e1" in self.taken:
            self.holding.set()
            await asyncio.Event().wait()
        self.taken += [event.event_id for event in request.events]
        self.took.set()
        result = ingest_pb2.PublishResult(disposition=ingest_pb2.DISPOSITION_RECORDED)
        return ingest_pb2.PublishBatchResponse(results=[result] * len(request.events))


@pytest.fixture
async def half_way(tmp_path: Path) -> AsyncIterator[HalfWay]:
    gateway, server = HalfWay(), grpc.aio.server()
    ingest_pb2_grpc.add_IngestServiceServicer_to_server(gateway, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    write_system(tmp_path / "data", port)
    yield gateway
    await server.stop(None)


async def process(
    *args: object, stdin: int = asyncio.subprocess.DEVNULL
) -> asyncio.subprocess.Process:
    # A shell that runs the tests in the background makes their children ignore Ctrl-C.
    program = """
import signal, typer
from services.cli.replay import replay
signal.signal(signal.SIGINT, signal.default_int_handler)
typer.run(replay)
"""
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        program,
        *(str(each) for each in args),
        stdin=stdin,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def test_killed_half_way_it_resumes(half_way: HalfWay, tmp_path: Path) -> None:
    file = ndjson(tmp_path / "a.ndjson", 1, 10_000)
    killed = await process(file, "--data", tmp_path / "data")
    await half_way.holding.wait()
    # The file is another process's: looking is the only way to know.
    while not list((tmp_path / "data").glob("replay/*.json")):  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    killed.kill()
    await killed.communicate()
    assert killed.returncode == -signal.SIGKILL

    half_way.hold = False
    again = await process(file, "--data", tmp_path / "data", "--json")
    stdout, stderr = await again.communicate()
    assert again.returncode == 0
    resumed_after = json.loads(stdout)["resumed_after"]
    assert 0 < resumed_after < 10_000
    assert f"resuming after line {resumed_after}" in stderr.decode()
    assert set(half_way.taken) == {f"e{n}" for n in range(1, 10_001)}


async def test_what_comes_through_a_pipe_is_published_as_it_comes(
    half_way: HalfWay, tmp_path: Path
) -> None:
    half_way.hold = False
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    running = await process(pipe, "--data", tmp_path / "data", "--json")
    # A pipe opens for writing once its reader is there.
    writer = await asyncio.to_thread(open, pipe, "w")
    with writer:
        writer.write('{"eventId": "first"}\n')
        writer.flush()
        await half_way.took.wait()
        writer.write('{"eventId": "last"}')
    stdout, _ = await running.communicate()
    assert (running.returncode, json.loads(stdout)["RECORDED"]) == (0, 2)
    assert half_way.taken == ["first", "last"]


@pytest.mark.parametrize("redirected", [True, False])
async def test_stdin_is_published(half_way: HalfWay, tmp_path: Path, redirected: bool) -> None:
    half_way.hold = False
    file = ndjson(tmp_path / "a.ndjson", 1, 3)
    arguments = ("-", "--data", tmp_path / "data", "--json")
    if redirected:
        with file.open() as opened:
            running = await process(*arguments, stdin=opened.fileno())
        stdout, _ = await running.communicate()
    else:
        running = await process(*arguments, stdin=asyncio.subprocess.PIPE)
        stdout, _ = await running.communicate(file.read_bytes())
    assert (running.returncode, json.loads(stdout)["RECORDED"]) == (0, 3)


async def test_interrupted_it_says_where_it_stopped(half_way: HalfWay, tmp_path: Path) -> None:
    file = ndjson(tmp_path / "a.ndjson", 1, 10_000)
    running = await process(file, "--data", tmp_path / "data", "--json")
    await half_way.holding.wait()
    running.send_signal(signal.SIGINT)
    stdout, stderr = await running.communicate()
    settled = json.loads(stdout)["settled_through"]
    assert running.returncode == 130
    assert f"interrupted; run it again to resume after line {settled}" in stderr.decode()
