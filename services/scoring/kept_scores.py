"""Answers to GetScores that were given before, and still are the answer.

What is told of the present depends on the question and on where the projection stands, and on nothing else:
so one look at that takes the place of adding everything up again. A dashboard has many readers, and asks more
often than something happens. Questions about the past and pages are asked seldom, and not kept.
"""

from collections import OrderedDict
from typing import NamedTuple

from services.scoring.answers import Answers, Stand
from services.scoring.scores import Asked, get_scores
from touchledger.v1 import scoring_pb2 as pb

# Fifty touchpoints with all names are 100 KB: what the dashboards of some tens of tenants ask.
KEPT_BYTES_MAX = 16 * 1024 * 1024
# One answer must not push all others out.
ANSWER_BYTES_MAX = KEPT_BYTES_MAX // 16
# Whose, and the question.
Key = tuple[str, bytes]


class Kept(NamedTuple):
    stand: Stand
    # Encoded: as messages they would take five times the memory.
    answer: bytes


class KeptScores:
    def __init__(self, answers: Answers) -> None:
        self._answers = answers
        # Those asked last are at the end.
        self._kept: OrderedDict[Key, Kept] = OrderedDict()
        self._bytes = 0

    async def get_scores(self, tenant: str, request: pb.GetScoresRequest) -> pb.GetScoresResponse:
        if request.WhichOneof("as_of") or request.page_size or request.page_token:
            return await get_scores(self._answers, tenant, request)
        if request.HasField("at_least_position"):
            await self._answers.at_least(request.at_least_position)
        asked = pb.GetScoresRequest()
        asked.CopyFrom(request)
        asked.ClearField("at_least_position")
        key = tenant, asked.SerializeToString(deterministic=True)
        if key in self._kept:
            state = await self._answers.state(tenant)
            kept = self._kept.get(key)
            if kept is not None and kept.stand == state.stand:
                self._kept.move_to_end(key)
                answer = pb.GetScoresResponse.FromString(kept.answer)
                answer.freshness.CopyFrom(state.freshness())
                return answer
        read = Asked.of(asked)
        async with self._answers.snapshot(tenant, asked) as snapshot:
            rows = await read.rows(snapshot)
        answer = read.answer(snapshot, rows)
        self._keep(key, snapshot.state.stand, answer)
        return answer

    def _keep(self, key: Key, stand: Stand, answer: pb.GetScoresResponse) -> None:
        self._forget(key)
        kept = Kept(stand, answer.SerializeToString())
        if _size(key, kept) > ANSWER_BYTES_MAX:
            return
        self._kept[key] = kept
        self._bytes += _size(key, kept)
        while self._bytes > KEPT_BYTES_MAX:
            self._forget(next(iter(self._kept)))

    def _forget(self, key: Key) -> None:
        if kept := self._kept.pop(key, None):
            self._bytes -= _size(key, kept)


def _size(key: Key, kept: Kept) -> int:
    return len(key[1]) + len(kept.answer)
