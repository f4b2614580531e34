"""The events of one publish, as they came: together as long as nothing is odd about any of them."""

from collections.abc import Sequence

from services.gateway.checks import has_unknown_fields
from services.gateway.shallow import Batch, batch_of
from touchledger.v1 import events_pb2
from touchledger.v1.ingest_pb2 import PublishBatchRequest, PublishStreamRequest
from touchledger.v1.problem_pb2 import Problem


class Request:
    """Those of a request that came over gRPC."""

    def __init__(self, request: PublishBatchRequest | PublishStreamRequest) -> None:
        self._request = request
        self._encoded = request.SerializeToString(deterministic=True)
        self.size = len(self._encoded)

    def batch(self) -> Batch | None:
        if has_unknown_fields(self._request, self.size):
            self._request.ParseFromString(self._encoded)
            return None
        return Batch(self._encoded, type(self._request))

    def events(self) -> Sequence[events_pb2.Event]:
        return self._request.events


class Events:
    """Those that were read one by one. A Problem stands in place of one that could not be read."""

    def __init__(self, events: Sequence[events_pb2.Event | Problem]) -> None:
        self._events = events

    def batch(self) -> Batch | None:
        encodings = list[bytes]()
        for event in self._events:
            if isinstance(event, Problem):
                return None
            encodings.append(event.SerializeToString(deterministic=True))
            if has_unknown_fields(event, len(encodings[-1])):
                event.ParseFromString(encodings[-1])
                return None
        return batch_of(encodings)

    def events(self) -> Sequence[events_pb2.Event | Problem]:
        return self._events
