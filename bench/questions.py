"""What GetScores takes over so many events: the scoring service as a process, asked over gRPC.

The service keeps answers while nothing comes (services/scoring/kept_scores.py), so both are measured: the
same questions again and again, and as pages, which are added up each time.

Its tables are filled by PostgreSQL itself, since projecting 20 million events would take minutes: facts at
dense positions, spread over two years and fifty touchpoints, and the rollups from them by the service's own
statements. The lineage of the events is left out, which no such question reads.
"""

import asyncio
import itertools
from collections.abc import Sequence
from time import perf_counter

import grpc

from bench.command import say
from bench.place import Place, free_port
from bench.running import STOP_SECONDS_MAX, started, until_ready
from bench.scoring_goals import SCORES, SCORES_AGAIN, Row
from services.scoring import formulas
from touchledger.v1 import scoring_pb2 as pb
from touchledger.v1.scoring_pb2_grpc import ScoringServiceStub

TENANT = "acme"
DAYS, TOUCHPOINTS = 730, 50
# One in so many events is an answer.
ANSWERS_ONE_IN = 3
FILL_ROWS = 1_000_000
FILL_SECONDS_MAX = 600.0
ROLL_UP_SECONDS_MAX = 1800.0
ASKERS = 4
WARM_UPS, QUESTIONS = 100, 2000
QUESTION_SECONDS_MAX = 20.0

SHARED = """
tenant, event_position, from_position, occurred_at, occurred_date, reporting_date, touchpoint, stage, channel,
service_mode, store, source
"""
MADE = """
SELECT 'acme', number, number, at, at::date, at::date, 'store.checkout.' || number % $3,
       (ARRAY['purchase', 'service', 'delivery'])[1 + number / 7 % 3],
       (ARRAY['store', 'phone', 'web'])[1 + number / 11 % 3], 'assisted', 'store-' || number % 40, 'till'
"""
NUMBERS = """
  FROM (SELECT number, timestamptz '2024-01-01 00:00+00' + number % $4 * interval '1 day' AS at
          FROM generate_series($1::bigint, $2::bigint) AS number) AS numbered
"""
INTERACTIONS = f"""
INSERT INTO fact_interaction ({SHARED}, outcome, amount, currency)
{MADE}, 'completed', number % 100, 'EUR' {NUMBERS} WHERE number % {ANSWERS_ONE_IN} <> 0
"""  # literals of this module
ANSWERS = f"""
INSERT INTO fact_feedback
    ({SHARED}, signal_index, kind, metric, value, scale_min, scale_max, higher_is_better)
{MADE}, 0, 'unspecified', 'csat', 1 + number / 3 % 5, 1, 5, true {NUMBERS} WHERE number % {ANSWERS_ONE_IN} = 0
"""  # literals of this module
NAMED = """
INSERT INTO dim_touchpoint (tenant, touchpoint, first_position)
SELECT 'acme', 'store.checkout.' || number, number + 1 FROM generate_series(0, $1::bigint - 1) AS number
"""
CHECKPOINT = """
UPDATE freshness SET journal_id = 'bench', position = $1, events = $1, recorded_at = now(), journal_head = $1
 WHERE projection = 'scoreboard'
"""
ASKED = (
    pb.GetScoresRequest(group_by=pb.GROUP_BY_TOUCHPOINT),
    pb.GetScoresRequest(group_by=pb.GROUP_BY_STAGE),
    pb.GetScoresRequest(group_by=pb.GROUP_BY_CHANNEL, touchpoint_glob="store.*"),
    pb.GetScoresRequest(group_by=pb.GROUP_BY_ALL, occurred_before_date="2025-05-17"),
)
# More groups than there are.
PAGE_SIZE = 1000


async def questions(here: Place, millions: float) -> list[Row]:
    events = int(millions * 1e6)
    async with here.database("questions") as url:
        address = f"127.0.0.1:{free_port()}"
        service = started(
            here.folder,
            "scoring",
            # There is no journal to follow: nothing changes while it is asked.
            {"DATABASE_URL": url, "LISTEN": address, "JOURNAL_TARGET": f"127.0.0.1:{free_port()}"},
        )
        try:
            await until_ready(service)
            await _fill(here, url, events)
            pages = [_as_page(each) for each in ASKED]
            return [
                _row(SCORES, events, await _asked(address, pages)),
                _row(SCORES_AGAIN, events, await _asked(address, ASKED)),
            ]
        finally:
            service.stop(STOP_SECONDS_MAX)


def _as_page(request: pb.GetScoresRequest) -> pb.GetScoresRequest:
    page = pb.GetScoresRequest(page_size=PAGE_SIZE)
    page.MergeFrom(request)
    return page


def _row(load: str, events: int, latencies: list[float]) -> Row:
    sorted_ms = sorted(1000 * each for each in latencies)
    return Row(
        load=load,
        events=events,
        p50_ms=round(sorted_ms[len(sorted_ms) // 2], 1),
        p99_ms=round(sorted_ms[len(sorted_ms) * 99 // 100], 1),
    )


async def _fill(here: Place, url: str, events: int) -> None:
    async with here.connection(url) as server:
        await server.execute("SET search_path = bi, fold; SET jit = off; SET work_mem = '256MB'")
        await server.execute("INSERT INTO tenant VALUES ($1, 'UTC')", TENANT)
        await server.execute(NAMED, TOUCHPOINTS)
        for first in range(1, events + 1, FILL_ROWS):
            last = min(first + FILL_ROWS - 1, events)
            for statement in (INTERACTIONS, ANSWERS):
                given = (first, last, TOUCHPOINTS, DAYS)
                await server.execute(statement, *given, timeout=FILL_SECONDS_MAX)
            say(f"  {last:,} events of facts")
        await server.execute(CHECKPOINT, events)
        for statement in formulas.ROLL_UP.values():
            await server.execute(statement, 0, events, [TENANT], timeout=ROLL_UP_SECONDS_MAX)
        await server.execute("VACUUM (ANALYZE)", timeout=ROLL_UP_SECONDS_MAX)


async def _asked(address: str, requests: Sequence[pb.GetScoresRequest]) -> list[float]:
    latencies = list[float]()
    async with grpc.aio.insecure_channel(address) as channel:
        stub = ScoringServiceStub(channel)
        asked = itertools.islice(itertools.cycle(requests), WARM_UPS + QUESTIONS)

        async def ask() -> None:
            for request in asked:
                began = perf_counter()
                answer = await stub.GetScores(
                    request,
                    metadata=(("touchledger-tenant", TENANT),),
                    timeout=QUESTION_SECONDS_MAX,
                )
                latencies.append(perf_counter() - began)
                if not answer.scores:
                    raise RuntimeError("GetScores: no scores")

        async with asyncio.TaskGroup() as group:
            for _ in range(ASKERS):
                group.create_task(ask())
    return latencies[WARM_UPS:]
