"""What of a caller's trace is known within a call, and what is imported, where nothing is exported."""

import subprocess
import sys

import pytest

from services.chassis.telemetry import received, traceparent

SENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
EXPORTERS = ("opentelemetry.sdk", "opentelemetry.exporter", "prometheus_client")


def test_a_caller_s_trace_context_is_the_current_one_as_it_came() -> None:
    with received({"traceparent": SENT}):
        assert SENT == traceparent()
    assert "" == traceparent()


@pytest.mark.parametrize("headers", [{}, {"traceparent": "no trace"}])
def test_without_one_there_is_none(headers: dict[str, str]) -> None:
    with received(headers):
        assert "" == traceparent()


def test_it_ends_with_a_call_that_fails() -> None:
    with pytest.raises(ValueError, match="why"), received({"traceparent": SENT}):
        raise ValueError("why")
    assert "" == traceparent()


@pytest.mark.parametrize("service", ["touchpoint", "scoring", "gateway"])
def test_no_exporter_is_imported_where_none_is_wanted(service: str) -> None:
    program = f"""
import sys, services.{service}.__main__
from services.chassis import settings, telemetry
listen = settings.ServiceSettings(listen="127.0.0.1:1", database_url="postgresql://nowhere")
with telemetry.configured("{service}", listen):
    print(*(name for name in sys.modules if name.startswith({EXPORTERS!r})))
"""
    found = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True, env={}
    )
    assert "" == found.stdout.strip()
