"""A log line leads to its trace."""

import json

import pytest
import structlog

from services.chassis import logs
from services.chassis.telemetry import received

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


@pytest.fixture(autouse=True)
def _as_it_was() -> object:
    yield
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


def line(capsys: pytest.CaptureFixture[str]) -> dict[str, str]:
    found: dict[str, str] = json.loads(capsys.readouterr().err)
    return found


def test_a_line_within_a_trace_names_it(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("gateway")
    with received({"traceparent": f"00-{TRACE}-{SPAN}-01"}):
        structlog.get_logger().info("said")
    told = line(capsys)
    assert (TRACE, SPAN) == (told["trace_id"], told["span_id"])
    assert ("gateway", "said") == (told["service"], told["event"])


def test_a_line_outside_of_one_names_none(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("gateway")
    structlog.get_logger().info("said")
    assert not {"trace_id", "span_id"} & line(capsys).keys()
