"""The questions of ScoringService over HTTP: parameters are fields, answers JSON or CSV, refusals too."""

import asyncio
import csv
import http.client
import io
import json
from collections.abc import AsyncIterator, Callable
from contextlib import closing
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import asyncpg
import grpc
import psycopg
import pytest
from google.protobuf import json_format
from google.protobuf.message import Message

from services.chassis.client import open_channel
from services.chassis.errors import Conflict, ErrorInterceptor, ServiceError
from services.gateway import limits as limits_module
from services.gateway.access import PUBLISH, QUERY, Access
from services.gateway.forwarding import Forwarding
from services.gateway.http import Http
from services.gateway.http_scores import AT_ONCE_BYTES_MAX, QUESTIONS, HttpScores
from services.gateway.limits import Limits
from services.gateway.settings import Settings
from tests.support.events import csat, event, feedback
from tests.support.gateway_keys import KEYRING, add_key
from tests.support.stack import Stack, free_port
from touchledger.v1 import (
    alerts_pb2,
    alerts_pb2_grpc,
    experience_pb2,
    experience_pb2_grpc,
    ingest_pb2,
    ingest_pb2_grpc,
    scoring_pb2_grpc,
)
from touchledger.v1 import scoring_pb2 as pb
from touchledger.v1.journal_pb2 import Position

SECONDS_MAX = 15.0
SCORES = pb.GetScoresResponse(
    scores=[
        pb.Score(
            group="store.checkout",
            keys={"touchpoint": "store.checkout"},
            counts={"asked": 3, "answered": 2},
            scores={"csat_mean": 4.5},
        ),
        pb.Score(group="=1+1", keys={"touchpoint": "=1+1"}, counts={"asked": 1, "answered": 0}),
    ],
    as_of_position=Position(journal_id="j", number=17),
    formula_version="csat/1",
    reporting_zone="Europe/Berlin",
)


class Scoring(
    scoring_pb2_grpc.ScoringServiceServicer,
    alerts_pb2_grpc.AlertServiceServicer,
    experience_pb2_grpc.ExperienceServiceServicer,
):
    """Gives what a test has put there, and notes what it was asked."""

    def __init__(self) -> None:
        self.answer: Message | ServiceError = SCORES
        self.asked = list[Message]()
        self.tenants = list[str]()

    async def _told(self, request: Message, context: grpc.aio.ServicerContext) -> Any:
        self.asked.append(request)
        self.tenants += [
            str(value)
            for name, value in context.invocation_metadata() or ()
            if name == "touchledger-tenant"
        ]
        if isinstance(self.answer, ServiceError):
            raise self.answer
        return self.answer

    GetScores = GetSeries = GetJourney = GetBridge = GetLineage = GetStatus = _told
    ListAlertRules = ListAlerts = ListAlertDeliveries = _told
    ListFigures = GetFigure = GetFigureEvents = _told


@dataclass(frozen=True)
class Answer:
    status: int
    body: bytes
    headers: dict[str, str]

    @property
    def document(self) -> Any:
        return json.loads(self.body)

    @property
    def problem(self) -> tuple[int, str, str]:
        assert "application/problem+json" == self.headers["content-type"]
        return self.status, self.document["code"], self.document["field"]

    @property
    def rows(self) -> list[dict[str, str]]:
        return list(csv.DictReader(io.StringIO(self.body.decode(), newline=""), strict=True))


def get(address: str, path: str, key: str, **headers: str) -> Answer:
    host, _, port = address.partition(":")
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    if key:
        sent["authorization"] = f"Bearer {key}"
    with closing(http.client.HTTPConnection(host, int(port), timeout=SECONDS_MAX)) as connection:
        connection.request("GET", path, headers=sent)
        answer = connection.getresponse()
        told = {name.lower(): value for name, value in answer.getheaders()}
        return Answer(answer.status, answer.read(), told)


@dataclass(frozen=True)
class Gateway:
    port: int
    url: str
    key: str
    scoring: Scoring

    async def get(self, path: str, *, key: str | None = None, **headers: str) -> Answer:
        shown = self.key if key is None else key
        return await asyncio.to_thread(get, f"127.0.0.1:{self.port}", path, shown, **headers)

    def asked(self) -> Any:
        """The question that arrived last."""
        return self.scoring.asked[-1]


@pytest.fixture
async def gateway(new_database: Callable[[str], str]) -> AsyncIterator[Gateway]:
    url = await asyncio.to_thread(new_database, "gateway")
    port = free_port()
    settings = Settings.model_validate(
        {
            "http_listen": f"127.0.0.1:{port}",
            "database_url": "postgresql://nowhere",
            "secret_key_file": "nowhere",
        }
    )
    scoring = Scoring()  # type: ignore[abstract]  # watching is for gRPC alone
    server = grpc.aio.server(interceptors=[ErrorInterceptor(calls_max=1000)])
    scoring_pb2_grpc.add_ScoringServiceServicer_to_server(scoring, server)
    alerts_pb2_grpc.add_AlertServiceServicer_to_server(scoring, server)
    experience_pb2_grpc.add_ExperienceServiceServicer_to_server(scoring, server)
    behind_port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with (
        asyncpg.create_pool(url, min_size=1, max_size=2) as pool,
        open_channel(f"127.0.0.1:{behind_port}") as behind,
    ):
        access, limits = Access(pool, KEYRING), Limits(settings, pool)
        forwarding = Forwarding(access, limits, KEYRING, refusing=asyncio.Event())
        routes = HttpScores(access, limits, forwarding, behind).routes()
        served = Http(settings, routes=routes, stopping=asyncio.Event())
        running = asyncio.create_task(served.run())
        key = await add_key(url, "acme", [QUERY], source="office")
        yield Gateway(port, url, key, scoring)
        await served.stop(5)
        await running
    await server.stop(None)


async def test_an_answer_is_the_json_of_the_message(gateway: Gateway) -> None:
    answer = await gateway.get("/v1/scores")
    assert (200, "application/json") == (answer.status, answer.headers["content-type"])
    first, _ = answer.document["scores"]
    assert {"asked": "3", "answered": "2"} == first["counts"]
    assert {"csat_mean": 4.5} == first["scores"]
    assert {"journalId": "j", "number": "17"} == answer.document["asOfPosition"]


async def test_what_is_0_is_said(gateway: Gateway) -> None:
    gateway.scoring.answer = pb.GetStatusResponse()
    told = (await gateway.get("/v1/status")).document
    assert ("0", "0") == (told["lag"], told["missingPositions"])


async def test_parameters_are_the_fields_of_the_request(gateway: Gateway) -> None:
    await gateway.get(
        "/v1/scores?groups=touchpoint&groups=GROUP_BY_MONTH&touchpoint_glob=store.*"
        "&occurred_before_time=2026-08-01T00:00:00%2B02:00&as_of_position.number=17"
        "&store=berlin&store=k%C3%B6ln&page_size=5&names=nps&page_token=a%2Bb"
    )
    question = pb.GetScoresRequest(
        groups=[pb.GROUP_BY_TOUCHPOINT, pb.GROUP_BY_MONTH],
        touchpoint_glob="store.*",
        as_of_position=Position(number=17),
        store=["berlin", "köln"],
        page_size=5,
        names=["nps"],
        page_token="a+b",
    )
    question.occurred_before_time.FromJsonString("2026-07-31T22:00:00Z")
    assert question == gateway.asked()


async def test_every_question_is_asked_of_its_rpc(gateway: Gateway) -> None:
    answers: dict[str, Message] = {
        "GetScores": SCORES,
        "GetSeries": pb.GetSeriesResponse(),
        "GetJourney": pb.GetJourneyResponse(),
        "GetLineage": pb.GetLineageResponse(),
        "GetBridge": pb.GetBridgeResponse(),
        "GetStatus": pb.GetStatusResponse(),
        "ListAlertRules": alerts_pb2.ListAlertRulesResponse(),
        "ListAlerts": alerts_pb2.ListAlertsResponse(),
        "ListAlertDeliveries": alerts_pb2.ListAlertDeliveriesResponse(),
        "ListFigures": experience_pb2.ListFiguresResponse(),
        "GetFigure": experience_pb2.GetFigureResponse(),
        "GetFigureEvents": experience_pb2.GetFigureEventsResponse(),
    }
    assert set(answers) == {question.method for question in QUESTIONS}
    for question in QUESTIONS:
        gateway.scoring.answer = answers[question.method]
        path = question.path.replace("{customer}", "card-7").replace("{figure}", "premium")
        answer = await gateway.get(path)
        assert 200 == answer.status, question
        assert f"{question.method}Request" == type(gateway.asked()).__name__
    assert ["acme"] * len(QUESTIONS) == gateway.scoring.tenants


async def test_alerts_and_deliveries_lead_to_the_next_page_by_number_while_pages_are_full(
    gateway: Gateway,
) -> None:
    for path, answer, begins in (
        ("alerts", alerts_pb2.ListAlertsResponse(alerts=[{"number": 8}, {"number": 9}]), "after"),
        (
            "alert-deliveries",
            alerts_pb2.ListAlertDeliveriesResponse(deliveries=[{"number": 10}, {"number": 9}]),
            "before",
        ),
    ):
        gateway.scoring.answer = answer
        asked = f"/v1/{path}?page_size=2&{begins}_number=77"
        link = (await gateway.get(asked)).headers["link"]
        assert f'</v1/{path}?page_size=2&{begins}_number=9>; rel="next"' == link
        assert "link" not in (await gateway.get(f"/v1/{path}?page_size=3")).headers
        assert "link" not in (await gateway.get(f"/v1/{path}")).headers


async def test_rules_and_alerts_come_as_csv(gateway: Gateway) -> None:
    rule = alerts_pb2.AlertRule(name="bottom2.weekly", part="csat_bottom2", ewma={"weight": 0.2})
    rule.baseline.before = "2026-04-01"
    rule.grace.FromSeconds(7200)
    listed = alerts_pb2.ListedAlertRule(rule=rule, figures={"groups": 3})
    gateway.scoring.answer = alerts_pb2.ListAlertRulesResponse(rules=[listed])
    answer = await gateway.get("/v1/alert-rules?format=csv")
    assert 'attachment; filename="alertrules.csv"' == answer.headers["content-disposition"]
    [row] = answer.rows
    assert ("bottom2.weekly", "0.2", "2026-04-01", "7200s", "3") == (
        *(row["rule_name"], row["rule_ewma_weight"], row["rule_baseline_before"]),
        *(row["rule_grace"], row["figures_groups"]),
    )
    # What a rule of this kind does not have.
    assert {""} == {row["rule_p_chart_sigmas"], row["rule_p0"], row["figures_run_length"]}
    alert = alerts_pb2.Alert(number=1, group="=1+1", statistic=0.25, withdrawn=True)
    gateway.scoring.answer = alerts_pb2.ListAlertsResponse(alerts=[alert])
    [row] = (await gateway.get("/v1/alerts?rule=bottom2.weekly&format=csv")).rows
    assert "bottom2.weekly" == gateway.asked().rule
    # No column is left out but what others say apart, and no cell is run.
    assert ("1", "'=1+1", "0.25", "true") == (
        *(row["number"], row["group"]),
        *(row["statistic"], row["withdrawn"]),
    )


@pytest.mark.parametrize(
    "customer", ["card-7", "erika.mustermann@example.org", "Zoë %41+b", "a?b#c", "crm/7"]
)
async def test_a_customer_in_the_path_travels_as_the_pseudonym(
    gateway: Gateway, customer: str
) -> None:
    gateway.scoring.answer = pb.GetJourneyResponse()
    assert 200 == (await gateway.get(f"/v1/journeys/{quote(customer, safe='')}")).status
    assert KEYRING.pseudonym("acme", customer) == gateway.asked().customer


async def test_csv_has_a_line_for_each_group_and_no_cell_that_is_run(gateway: Gateway) -> None:
    answer = await gateway.get("/v1/scores?format=csv")
    assert "text/csv; charset=utf-8; header=present" == answer.headers["content-type"]
    assert 'attachment; filename="scores.csv"' == answer.headers["content-disposition"]
    assert answer.body.endswith(b"\r\n")
    first, second = answer.rows
    assert ("store.checkout", "3", "4.5", "17", "csat/1") == (
        *(first["touchpoint"], first["asked"], first["csat_mean"], first["as_of_position"]),
        first["formula_version"],
    )
    assert ("'=1+1", "") == (second["touchpoint"], second["csat_mean"])


async def test_a_large_answer_is_no_other(gateway: Gateway) -> None:
    large = pb.GetScoresResponse(as_of_position=SCORES.as_of_position)
    for number in range(2_000):
        large.scores.add(keys={"store": f"{number}"}, counts={f"n_{each}": 1 for each in range(20)})
    assert large.ByteSize() > AT_ONCE_BYTES_MAX
    gateway.scoring.answer = large
    told = await gateway.get("/v1/scores?format=csv")
    assert [f"{number}" for number in range(2_000)] == [row["store"] for row in told.rows]
    read = json_format.ParseDict((await gateway.get("/v1/scores")).document, pb.GetScoresResponse())
    assert large.scores == read.scores


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("text/csv", "text/csv"),
        ("text/csv, */*;q=0.5", "text/csv"),
        ("application/json, text/csv;q=0.9", "application/json"),
        ("text/html,application/xhtml+xml,*/*;q=0.8", "application/json"),
        ("*/*", "application/json"),
        ("text/csv;q=nonsense", "application/json"),
        ("", "application/json"),
    ],
)
async def test_the_header_accept_chooses_the_form(gateway: Gateway, accept: str, kind: str) -> None:
    answer = await gateway.get("/v1/scores", accept=accept)
    assert kind == answer.headers["content-type"].partition(";")[0]
    assert "authorization, accept" == answer.headers["vary"]


async def test_the_parameter_format_goes_before_the_header(gateway: Gateway) -> None:
    answer = await gateway.get("/v1/scores?format=json", accept="text/csv")
    assert "application/json" == answer.headers["content-type"]


async def test_an_answer_that_is_known_already_is_not_sent_again(gateway: Gateway) -> None:
    first = await gateway.get("/v1/scores")
    tag = first.headers["etag"]
    again = await gateway.get("/v1/scores", if_none_match=f'"another", W/{tag}')
    assert (304, b"", tag) == (again.status, again.body, again.headers["etag"])
    moved = pb.GetScoresResponse()
    moved.CopyFrom(SCORES)
    moved.as_of_position.number += 1
    gateway.scoring.answer = moved
    assert 200 == (await gateway.get("/v1/scores", if_none_match=tag)).status
    assert tag != (await gateway.get("/v1/scores?format=csv")).headers["etag"]


async def test_a_link_leads_to_the_next_page(gateway: Gateway) -> None:
    answer = pb.GetScoresResponse()
    answer.CopyFrom(SCORES)
    answer.next_page_token = "b+/="
    gateway.scoring.answer = answer
    told = await gateway.get("/v1/scores?page_size=2&touchpoint_glob=%2A&page_token=a&format=csv")
    link, relation = told.headers["link"].split("; ")
    assert 'rel="next"' == relation
    assert "next_page_token" not in told.rows[0]
    await gateway.get(link.strip("<>"))
    assert (
        pb.GetScoresRequest(page_size=2, touchpoint_glob="*", page_token="b+/=") == gateway.asked()
    )


@pytest.mark.parametrize(
    ("query", "code", "field"),
    [
        ("touchpoint=a", "UNKNOWN_FIELD", "query"),
        ("as_of_position=17", "UNKNOWN_FIELD", "query"),
        ("group_by=customer", "INVALID_NAME", "group_by"),
        ("group_by=stage&group_by=channel", "DUPLICATE_KEY", "group_by"),
        ("page_size=-1", "INVALID_NUMBER", "page_size"),
        ("page_size=many", "INVALID_NUMBER", "page_size"),
        ("as_of_time=yesterday", "INVALID_TIME", "as_of_time"),
        ("as_of_time=2026-08-01T00:00:00Z&as_of_date=2026-08-01", "DUPLICATE_KEY", "as_of_date"),
        ("touchpoint_glob=%00", "NUL", "touchpoint_glob"),
        ("format=xml", "INVALID_NAME", "format"),
        ("format=csv&format=json", "INVALID_NAME", "format"),
    ],
)
async def test_a_parameter_that_means_nothing_is_a_problem(
    gateway: Gateway, query: str, code: str, field: str
) -> None:
    answer = await gateway.get(f"/v1/scores?{query}")
    assert (400, code, field) == answer.problem
    assert [] == gateway.scoring.asked


async def test_a_refusal_of_the_service_behind_is_a_problem(gateway: Gateway) -> None:
    gateway.scoring.answer = Conflict("the journal that is read", field="as_of_position", got="j")
    answer = await gateway.get("/v1/scores?format=csv")
    assert (409, "FAILED_PRECONDITION", "as_of_position") == answer.problem


async def test_a_key_with_the_scope_query_is_needed(gateway: Gateway) -> None:
    publisher = await add_key(gateway.url, "acme", [PUBLISH])
    assert 401 == (await gateway.get("/v1/scores", key="")).status
    assert 403 == (await gateway.get("/v1/scores", key=publisher)).status
    assert [] == gateway.scoring.asked


async def test_questions_at_once_are_bounded_as_over_grpc(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits_module, "QUESTIONS_TENANT_MAX", 0)
    answer = await gateway.get("/v1/scores")
    assert (429, "BUSY", "1") == (*answer.problem[:2], answer.headers["retry-after"])


# What CSV has beside columns of schema bi.
OF_THE_ANSWER = {
    *("as_of_position", "formula_version", "reporting_zone", "freshness_position"),
    *("freshness_recorded_at", "freshness_head", "freshness_lag"),
}


def test_a_real_system_gives_the_same_over_http_as_over_grpc(stack: Stack) -> None:
    events = [feedback(csat(value), event_id=f"answer-{value}") for value in ("2", "4", "5")]
    events.append(event(event_id="visit", customer="card-7"))
    with grpc.insecure_channel(stack.gateway.address) as channel:
        published = ingest_pb2_grpc.IngestServiceStub(channel).PublishBatch(
            ingest_pb2.PublishBatchRequest(events=events), metadata=stack.metadata, timeout=20
        )
        seen = published.results[-1].position.number
        question = pb.GetScoresRequest(
            groups=[pb.GROUP_BY_TOUCHPOINT, pb.GROUP_BY_MONTH],
            at_least_position=Position(number=seen),
            as_of_position=Position(number=seen),
        )
        stub = scoring_pb2_grpc.ScoringServiceStub(channel)
        over_grpc = stub.GetScores(question, metadata=stack.metadata, timeout=20)
    path = (
        "/v1/scores?groups=touchpoint&groups=month"
        f"&at_least_position.number={seen}&as_of_position.number={seen}"
    )
    over_http = pb.GetScoresResponse()
    json_format.ParseDict(get(stack.http_address, path, stack.key).document, over_http)
    assert over_grpc.scores == over_http.scores
    assert seen == over_http.as_of_position.number
    [row] = get(stack.http_address, f"{path}&format=csv", stack.key).rows
    assert ("store.checkout", "2026-08-01", "3", f"{11 / 3}") == (
        *(row["touchpoint"], row["month_start"], row["csat_answered"]),
        row["csat_mean"],
    )
    with psycopg.connect(stack.urls["scoring"], autocommit=True) as connection:
        columns = connection.execute(
            "SELECT column_name FROM information_schema.columns WHERE table_schema = 'bi'"
        ).fetchall()
    assert set() == set(row) - OF_THE_ANSWER - {name for (name,) in columns}


def test_a_real_system_tells_everything_else_over_http(stack: Stack) -> None:
    events = [
        event(event_id="visit", customer="crm/7"),
        feedback(csat("4"), event_id="answer", customer="crm/7"),
    ]
    with grpc.insecure_channel(stack.gateway.address) as channel:
        published = ingest_pb2_grpc.IngestServiceStub(channel).PublishBatch(
            ingest_pb2.PublishBatchRequest(events=events), metadata=stack.metadata, timeout=20
        )
    seen = published.results[-1].position.number
    wait = f"at_least_position.number={seen}"

    def rows(path: str) -> list[dict[str, str]]:
        answer = get(stack.http_address, path, stack.key, accept="text/csv")
        assert 200 == answer.status, answer.body
        return answer.rows

    assert ["visit", "answer"] == [
        row["event_id"] for row in rows(f"/v1/journeys/{quote('crm/7', safe='')}?{wait}")
    ]
    assert ["answer"] == [row["event_id"] for row in rows("/v1/lineage?names=csat_mean")]
    assert [] == rows("/v1/alert-rules") + rows("/v1/alerts") + rows("/v1/alert-deliveries")
    [status] = rows("/v1/status")
    assert status["projected_by"]
    assert status["projected_by_since"]
    [score] = rows("/v1/scores?groups=all&names=fcr_no_repeat&names=promises")
    assert ("", "0", "0") == (score["fcr_no_repeat"], score["episodes"], score["promises"])
    [day] = rows("/v1/series?period=day&names=csat_mean&names=csat_answered")
    assert ("2026-08-03", "4.0", "1") == (
        *(day["reporting_date"], day["csat_mean"]),
        day["csat_answered"],
    )
    [status] = rows("/v1/status")
    assert (f"{seen}", "0") == (status["checkpoint"], status["lag"])
    parts = rows(f"/v1/bridge?score=csat_mean&seen_position.number={seen}")
    assert "late_arrivals" in {part["cause"] for part in parts}
    assert {"4"} == {part["now_value"].removesuffix(".0") for part in parts}


async def test_a_figure_as_csv_has_its_columns_in_their_order_also_where_no_row_has_a_value(
    gateway: Gateway,
) -> None:
    columns = [
        experience_pb2.FigureColumn(name=name, key=name in ("place", "brand"))
        for name in ("place", "brand", "share_lo", "share", "b", "customers", "a_rank")
    ]
    row = experience_pb2.FigureRow(
        keys={"brand": "high", "place": "1"},
        values={"customers": "7", "b": "=1", "share": "0.5", "share_lo": "0.1"},
    )
    figure = experience_pb2.Figure(
        name="brand_and_care", formula_version="brand_and_care/1", columns=columns
    )
    gateway.scoring.answer = experience_pb2.GetFigureResponse(rows=[row], figure=figure)
    answer = await gateway.get("/v1/experience/brand_and_care?format=csv")
    head, line = answer.body.decode().splitlines()
    assert head.startswith("place,brand,share_lo,share,b,customers,a_rank,")
    assert line.startswith("1,high,0.1,0.5,'=1,7,,")
    assert "brand_and_care/1" in line
