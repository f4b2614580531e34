"""touchledger.v1.BufferService: what is queued and not recorded yet."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

import grpc
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import DecodeError
from google.protobuf.timestamp_pb2 import Timestamp

from services.chassis import clock
from services.chassis.buffer import STREAM, partition_of, subjects_of, tenant_of
from services.chassis.errors import Conflict, Malformed, Unavailable
from services.touchpoint.identity import originator_ids
from services.touchpoint.journal import Journal
from services.touchpoint.recorder.process import Recorder
from services.touchpoint.recorder.stream import Batch
from touchledger.v1 import buffer_pb2 as pb
from touchledger.v1 import buffer_pb2_grpc
from touchledger.v1.journal_pb2 import AppendManyRequest

TENANTS_TOLD_MAX = 100
# Of a page, which is as long as what a recorder reads at once.
EVENTS_TOLD_MAX = 1000
SEQUENCE_DIGITS_MAX = 20


class BufferServicer(buffer_pb2_grpc.BufferServiceServicer):
    def __init__(self, journal: Journal, recorder: Recorder | None) -> None:
        self._journal = journal
        self._recorder = recorder

    async def GetBuffer(
        self, request: pb.GetBufferRequest, context: grpc.aio.ServicerContext
    ) -> pb.GetBufferResponse:
        recorder = self._configured()
        found = await recorder.stream.look()
        if found is None:
            raise Unavailable(f"the stream {STREAM}, which recorders make")
        answer = _told(found)
        for row in await recorder.owners():
            batches = _batches(found, row["partition"])
            answer.partitions.add(
                partition=row["partition"],
                batches=batches,
                owner=row["owner"],
                owned_since=row["took_at"],
            )
        answer.refused_waiting, answer.refused_of_nobody = await self._journal.refused.waiting()
        return answer

    async def ReconcileBuffer(
        self, request: pb.ReconcileBufferRequest, context: grpc.aio.ServicerContext
    ) -> pb.ReconcileBufferResponse:
        recorder, token = self._configured(), request.page_token
        if token and not (
            token.isascii() and token.isdecimal() and len(token) < SEQUENCE_DIGITS_MAX
        ):
            raise Malformed("the next_page_token of an answer", field="page_token", got="another")
        page = await recorder.stream.read(subjects_of("*"), after=int(token or 0))
        answer = pb.ReconcileBufferResponse(batches=len(page.batches))
        await self._compare(page.batches, answer)
        if page.more:
            answer.next_page_token = str(page.batches[-1].sequence)
        return answer

    def _configured(self) -> Recorder:
        if self._recorder is None:
            raise Conflict("a buffer in front of the journal", code="NO_BUFFER", got="none")
        return self._recorder

    async def _compare(self, batches: Iterable[Batch], answer: pb.ReconcileBufferResponse) -> None:
        queued = defaultdict[tuple[str, str], dict[str, Batch]](dict)
        for batch in batches:
            try:
                requests = AppendManyRequest.FromString(batch.data).requests
            except DecodeError:
                answer.unreadable += 1
                continue
            for request in requests:
                # Of another tenant's the journal is not asked: nobody can say whose it is.
                if request.tenant == tenant_of(batch.subject):
                    of_source = queued[request.tenant, request.source]
                    of_source |= {each.event_id: batch for each in request.entries}
        for (tenant, source), of_source in queued.items():
            await self._compare_source(tenant, source, of_source, answer)

    async def _compare_source(
        self,
        tenant: str,
        source: str,
        queued: Mapping[str, Batch],
        answer: pb.ReconcileBufferResponse,
    ) -> None:
        event_ids = [*queued]
        streams = originator_ids(tenant, source, event_ids)
        positions = await self._journal.positions(streams)
        refused = await self._journal.refused.of_events(tenant, source, event_ids)
        for event_id, stream in zip(event_ids, streams, strict=True):
            if stream in positions:
                answer.recorded += 1
            elif event_id in refused:
                answer.refused += 1
            else:
                answer.unrecorded += 1
                if len(answer.events) < EVENTS_TOLD_MAX:
                    batch = queued[event_id]
                    answer.events.add(
                        tenant=tenant,
                        source=source,
                        event_id=event_id,
                        queued_at=_moment(batch.queued_at),
                        partition=partition_of(batch.subject),
                    )


def _told(found: Mapping[str, Any]) -> pb.GetBufferResponse:
    config, state = found["config"], found["state"]
    followers = (found.get("cluster") or {}).get("replicas") or ()
    answer = pb.GetBufferResponse(
        batches=state["messages"],
        bytes=state["bytes"],
        bytes_max=max(0, config["max_bytes"]),
        replicas=config["num_replicas"],
        replicas_current=1 + sum(bool(each.get("current")) for each in followers),
        made_at=_moment(found["created"]),
    )
    if state["messages"]:
        waited = clock.now().ToNanoseconds() - _moment(state["first_ts"]).ToNanoseconds()
        answer.oldest_age.CopyFrom(Duration())
        answer.oldest_age.FromNanoseconds(max(0, waited))
    total, fullest = Counter[str](), Counter[str]()
    for subject, batches in (state.get("subjects") or {}).items():
        tenant = tenant_of(subject)
        total[tenant] += batches
        fullest[tenant] = max(fullest[tenant], batches)
    for tenant, batches in total.most_common(TENANTS_TOLD_MAX):
        answer.tenants.add(
            tenant=tenant,
            batches=batches,
            batches_of_fullest_partition=fullest[tenant],
            batches_max_of_partition=config["max_msgs_per_subject"],
        )
    return answer


def _batches(found: Mapping[str, Any], partition: int) -> int:
    subjects = found["state"].get("subjects") or {}
    return sum(
        batches for subject, batches in subjects.items() if partition_of(subject) == partition
    )


def _moment(text: str) -> Timestamp:
    moment = Timestamp()
    moment.FromJsonString(text)
    return moment
