"""`publish` as a user runs it, against a gateway that takes events with a scale and refuses others."""

import json
import os
import uuid
from collections.abc import Iterator
from concurrent import futures
from pathlib import Path
from typing import Any

import grpc
import pytest
import typer
from typer.testing import CliRunner, Result

from services.cli.publish import publish, uuid7
from touchledger.v1 import events_pb2, ingest_pb2, ingest_pb2_grpc


class Gateway(ingest_pb2_grpc.IngestServiceServicer):
    def __init__(self) -> None:
        self.taken: list[events_pb2.Event] = []

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
        [event] = request.events
        [result] = (response := ingest_pb2.PublishBatchResponse(results=[{}])).results
        if any(signal.value == "9" for signal in event.feedback_received.signals[:1]):
            result.disposition = ingest_pb2.DISPOSITION_REJECTED
            result.problem.code = "VALUE_OUTSIDE_SCALE"
            result.problem.field = "feedback_received.signals[0].value"
            result.problem.got, result.problem.want = "9", "1 to 5"
        else:
            self.taken.append(event)
            result.disposition = ingest_pb2.DISPOSITION_RECORDED
            result.position.journal_id, result.position.number = "j", len(self.taken)
        return response


@pytest.fixture
def gateway() -> Gateway:
    return Gateway()


@pytest.fixture
def data(gateway: Gateway, tmp_path: Path) -> Iterator[Path]:
    server = grpc.server(futures.ThreadPoolExecutor(1))
    ingest_pb2_grpc.add_IngestServiceServicer_to_server(gateway, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    (tmp_path / "key").write_text("tl_local")
    system = {
        "pid": os.getpid(),
        "grpc": f"127.0.0.1:{port}",
        "http": "",
        "sql": "",
        "key_file": str(tmp_path / "key"),
    }
    (tmp_path / "system.json").write_text(json.dumps(system))
    yield tmp_path
    server.stop(None).wait()


def command(*args: object, stdin: str | None = None) -> Result:
    app = typer.Typer()
    app.command()(publish)
    return CliRunner().invoke(app, [str(each) for each in args], input=stdin)


def test_an_event_is_published_as_it_is_given(gateway: Gateway, data: Path) -> None:
    run = command('{"eventId": "e1", "touchpoint": "t"}', "--data", data)
    assert (run.exit_code, run.stdout) == (0, "RECORDED at position 1\n")
    assert gateway.taken == [events_pb2.Event(event_id="e1", touchpoint="t")]


@pytest.mark.parametrize("argument", [[], ["-"]])
def test_an_event_is_read_from_stdin(gateway: Gateway, data: Path, argument: list[str]) -> None:
    run = command(*argument, "--data", data, "--json", stdin='{\n"eventId": "e1"\n}\n')
    assert json.loads(run.stdout) == {"disposition": "RECORDED", "position": 1, "journal_id": "j"}
    assert gateway.taken == [events_pb2.Event(event_id="e1")]


def test_an_answer_is_made_of_options(gateway: Gateway, data: Path) -> None:
    answer = {
        "--touchpoint": "store.checkout",
        "--csat": "5",
        "--nps": "9",
        "--comment": "ótimo",
        "--customer": "c-1",
        "--stage": "purchase",
        "--channel": "store",
    }
    run = command(*(word for pair in answer.items() for word in pair), "--data", data)
    assert run.exit_code == 0
    [event] = gateway.taken
    assert uuid.UUID(event.event_id).version == 7
    higher = events_pb2.DIRECTION_HIGHER_IS_BETTER
    expected = events_pb2.Event(
        event_id=event.event_id,
        occurred_at=event.occurred_at,
        touchpoint="store.checkout",
        customer="c-1",
        personal={"comment": "ótimo"},
        feedback_received=events_pb2.FeedbackReceived(
            stage=events_pb2.STAGE_PURCHASE,
            channel=events_pb2.CHANNEL_STORE,
            signals=[
                events_pb2.Signal(
                    metric=events_pb2.METRIC_CSAT,
                    value="5",
                    scale_min="1",
                    scale_max="5",
                    direction=higher,
                ),
                events_pb2.Signal(
                    metric=events_pb2.METRIC_NPS,
                    value="9",
                    scale_min="0",
                    scale_max="10",
                    direction=higher,
                ),
            ],
        ),
    )
    assert event == expected


def test_what_the_gateway_refuses_is_told(data: Path) -> None:
    run = command("--touchpoint", "store.checkout", "--csat", "9", "--data", data, "--json")
    problem = {
        "code": "VALUE_OUTSIDE_SCALE",
        "field": "feedback_received.signals[0].value",
        "got": "9",
        "want": "1 to 5",
    }
    assert run.exit_code == 1
    assert json.loads(run.stdout) == {"disposition": "REJECTED", "problem": problem}
    assert run.stderr == (
        "feedback_received.signals[0].value: got 9, want 1 to 5 (VALUE_OUTSIDE_SCALE)\n"
    )


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (['{"eventld": "e1"}'], 'eventld: got a field "eventld", want event_id (UNKNOWN_FIELD)'),
        (["{"], "want one JSON object (MALFORMED_JSON)"),
        (
            ["--touchpoint", "t", "--channel", "shop"],
            'feedback_received.channel: got "CHANNEL_SHOP", want ',
        ),
    ],
)
def test_what_is_no_event_is_refused_before_any_system_is_asked(
    tmp_path: Path, arguments: list[str], told: str
) -> None:
    run = command(*arguments, "--data", tmp_path / "none")
    assert (run.exit_code, run.stdout) == (1, "REJECTED\n")
    assert told in run.stderr


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["{}", "--csat", "5"], "got both EVENT and options of an answer"),
        (["--csat", "5"], "--touchpoint: got nothing, want it with --csat"),
    ],
)
def test_options_that_do_not_fit_are_bad_usage(arguments: list[str], told: str) -> None:
    run = command(*arguments)
    assert (run.exit_code, told in run.stderr) == (2, True)


def test_without_a_system_it_says_how_to_get_one(tmp_path: Path) -> None:
    run = command("--touchpoint", "t", "--csat", "5", "--data", tmp_path / "none")
    assert (run.exit_code, "start one with `touchledger up" in run.stderr) == (3, True)


def test_a_uuid7_holds_its_time_and_chance() -> None:
    made = uuid.UUID(uuid7(0x0123456789AB, (1 << 74) - 1))
    assert str(made) == "01234567-89ab-7fff-bfff-ffffffffffff"
    assert (made.version, made.variant) == (7, uuid.RFC_4122)
