"""The limit of gRPC: a server of our kind whose handler answers at once.

`python -m bench.stores.null_grpc PORT`. It reads requests and writes as many results as the gateway would;
nothing is checked or stored.
"""

import asyncio
import sys
from functools import cache

import grpc
import uvloop
from grpc_health.v1 import health, health_pb2_grpc
from grpc_health.v1.health_pb2 import HealthCheckResponse

from services.chassis.server import MESSAGE_BYTES_MAX
from touchledger.v1 import ingest_pb2
from touchledger.v1.journal_pb2 import Position

RESULT = ingest_pb2.PublishResult(
    disposition=ingest_pb2.DISPOSITION_RECORDED,
    position=Position(journal_id="00000000-0000-7000-8000-000000000000", number=1_000_000),
)


async def publish(
    request: ingest_pb2.PublishRequest, context: object
) -> ingest_pb2.PublishResponse:
    return ingest_pb2.PublishResponse(result=RESULT)


async def publish_batch(
    request: ingest_pb2.PublishBatchRequest, context: object
) -> ingest_pb2.PublishBatchResponse:
    return _response(len(request.events))


@cache
def _response(count: int) -> ingest_pb2.PublishBatchResponse:
    return ingest_pb2.PublishBatchResponse(results=[RESULT] * count)


SERVICE = "touchledger.v1.IngestService"
HANDLERS = {
    "Publish": grpc.unary_unary_rpc_method_handler(
        publish,
        request_deserializer=ingest_pb2.PublishRequest.FromString,
        response_serializer=ingest_pb2.PublishResponse.SerializeToString,
    ),
    "PublishBatch": grpc.unary_unary_rpc_method_handler(
        publish_batch,
        request_deserializer=ingest_pb2.PublishBatchRequest.FromString,
        response_serializer=ingest_pb2.PublishBatchResponse.SerializeToString,
    ),
}


async def serve(port: int) -> None:
    server = grpc.aio.server(options=[("grpc.max_receive_message_length", MESSAGE_BYTES_MAX)])
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, HANDLERS),))
    ready = health.aio.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(ready, server)
    server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    await ready.set("", HealthCheckResponse.SERVING)
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1])))
