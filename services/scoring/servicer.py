"""touchledger.v1.ScoringService: reads a question's dates and bounds, asks for the answers, replies."""

import re
from datetime import UTC, date, datetime

import asyncpg
import grpc

from services.chassis.errors import Conflict, Malformed
from services.scoring import formulas
from services.scoring.answers import Answers
from services.scoring.source import Source
from touchledger.v1 import scoring_pb2 as pb
from touchledger.v1 import scoring_pb2_grpc
from touchledger.v1.journal_pb2 import Position

# The gateway sets it from the caller's credential; nobody else can reach this service.
TENANT_METADATA = "touchledger-tenant"
GLOB_CHARACTERS_MAX = 128
DAY = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
GROUPS = {
    pb.GROUP_BY_UNSPECIFIED: "touchpoint",
    pb.GROUP_BY_TOUCHPOINT: "touchpoint",
    pb.GROUP_BY_STAGE: "stage",
    pb.GROUP_BY_CHANNEL: "channel",
    pb.GROUP_BY_ALL: "all",
}


class ScoringServicer(scoring_pb2_grpc.ScoringServiceServicer):
    def __init__(self, answers: Answers, source: Source) -> None:
        self._answers = answers
        self._source = source

    async def GetScores(
        self, request: pb.GetScoresRequest, context: grpc.aio.ServicerContext
    ) -> pb.GetScoresResponse:
        tenant = _tenant(context)
        _check(request)
        zone = await self._answers.reporting_zone(tenant)
        as_of = await self._as_of(request, zone)
        rows = await self._answers.scores(
            tenant,
            GROUPS[request.group_by],
            glob=request.touchpoint_glob,
            occurred_before=await self._occurred_before(request, zone),
            as_of=as_of.number,
        )
        return pb.GetScoresResponse(
            scores=map(_score, rows),
            as_of_position=as_of,
            formula_version=formulas.VERSION,
            reporting_zone=zone,
        )

    async def GetStatus(
        self, request: pb.GetStatusRequest, context: grpc.aio.ServicerContext
    ) -> pb.GetStatusResponse:
        # The checkpoint first: a head read before it could lie behind it.
        freshness, events, waiting = await self._answers.status(_tenant(context))
        head = (await self._source.head()).head
        if freshness["journal_id"] not in ("", head.journal_id):
            raise Conflict(
                head.journal_id, field="checkpoint.journal_id", got=freshness["journal_id"]
            )
        return pb.GetStatusResponse(
            head=head,
            checkpoint=Position(journal_id=freshness["journal_id"], number=freshness["position"]),
            lag=head.number - freshness["position"],
            missing_positions=freshness["position"] - freshness["events"],
            checkpoint_recorded_at=freshness["recorded_at"],
            events=events,
            waiting_amendments=waiting,
        )

    async def _as_of(self, request: pb.GetScoresRequest, zone: str) -> Position:
        match request.WhichOneof("as_of"):
            case "as_of_position":
                return await self._answers.as_of(request.as_of_position)
            case "as_of_time":
                moment = _moment(request, "as_of_time")
                return await self._answers.recorded_by(moment, "as_of_time")
            case "as_of_date":
                day = _day(request.as_of_date, "as_of_date")
                moment = await self._answers.start_of_day(day, zone)
                return await self._answers.recorded_by(moment, "as_of_date")
        return await self._answers.checkpoint()

    async def _occurred_before(self, request: pb.GetScoresRequest, zone: str) -> datetime | None:
        match request.WhichOneof("occurred_before"):
            case "occurred_before_time":
                return _moment(request, "occurred_before_time")
            case "occurred_before_date":
                day = _day(request.occurred_before_date, "occurred_before_date")
                return await self._answers.start_of_day(day, zone)
        return None


def _tenant(context: grpc.aio.ServicerContext) -> str:
    for key, value in context.invocation_metadata() or ():
        if key == TENANT_METADATA and value:
            return str(value)
    raise Malformed("the tenant that the gateway sets", field=TENANT_METADATA, got="nothing")


def _check(request: pb.GetScoresRequest) -> None:
    if request.group_by not in GROUPS:
        raise Malformed("a GroupBy", field="group_by", got=str(request.group_by))
    if len(request.touchpoint_glob) > GLOB_CHARACTERS_MAX:
        raise Malformed(
            f"at most {GLOB_CHARACTERS_MAX} characters",
            field="touchpoint_glob",
            got=f"{len(request.touchpoint_glob)}",
        )
    if "\0" in request.touchpoint_glob:
        raise Malformed("no NUL", field="touchpoint_glob", got="a NUL character")


def _moment(request: pb.GetScoresRequest, field: str) -> datetime:
    try:
        moment: datetime = getattr(request, field).ToDatetime(tzinfo=UTC)
    except (ValueError, OverflowError):
        raise Malformed("a moment in the years 1 to 9999", field=field, got="another") from None
    return moment


def _day(text: str, field: str) -> date:
    try:
        if not DAY.fullmatch(text):
            raise ValueError
        return date.fromisoformat(text)
    except ValueError:
        raise Malformed("YYYY-MM-DD", field=field, got=repr(text[:32])) from None


def _score(row: asyncpg.Record) -> pb.Score:
    return pb.Score(
        group=row["grp"],
        counts={name: row[name] for name in formulas.COUNTS},
        scores={name: row[name] for name in formulas.SCORES_SQL if row[name] is not None},
    )
