"""What of a caller's trace is known within a call, where spans are exported nowhere."""

import pytest

from services.chassis.telemetry import call_span, traceparent

METHOD = "/touchledger.v1.IngestService/Publish"
SENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture(autouse=True)
def no_collector(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OTEL_EXPORTER_OTLP_ENDPOINT", raising=False)


def test_a_caller_s_trace_context_is_the_current_one_as_it_came() -> None:
    with call_span(METHOD, {"traceparent": SENT}):
        assert SENT == traceparent()
    assert "" == traceparent()


@pytest.mark.parametrize("headers", [{}, {"traceparent": "no trace"}])
def test_without_one_there_is_none(headers: dict[str, str]) -> None:
    with call_span(METHOD, headers):
        assert "" == traceparent()


def test_it_ends_with_a_call_that_fails() -> None:
    with pytest.raises(ValueError, match="why"), call_span(METHOD, {"traceparent": SENT}):
        raise ValueError("why")
    assert "" == traceparent()
