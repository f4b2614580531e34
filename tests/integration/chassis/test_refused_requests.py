"""A refused request leaves the memory at once, so that a flood of refused ones does not fill it."""

import gc
import weakref
from collections.abc import AsyncIterator, Iterator

import grpc
import pytest

from services.chassis.errors import ErrorInterceptor, Exhausted

SERVICE = "touchledger.test.v1.Refusing"
CALL_SECONDS_MAX = 10.0


class Request:
    """What bytes are read as."""


@pytest.fixture
def without_collection() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("without_collection")
@pytest.mark.parametrize("error", [Exhausted, ValueError])
@pytest.mark.parametrize("kind", ["unary_unary", "unary_stream", "stream_unary", "stream_stream"])
async def test_a_refused_request_is_not_kept_until_garbage_is_collected(
    kind: str, error: type[Exception]
) -> None:
    alive = weakref.WeakSet[Request]()

    def read(_: bytes) -> Request:
        request = Request()
        alive.add(request)
        return request

    async def unary(request: Request, context: grpc.aio.ServicerContext) -> bytes:
        raise error("less")

    async def answers(request: Request, context: grpc.aio.ServicerContext) -> AsyncIterator[bytes]:
        yield b"first"
        raise error("less")

    async def both(
        requests: AsyncIterator[Request], context: grpc.aio.ServicerContext
    ) -> AsyncIterator[bytes]:
        async for _ in requests:
            yield b"first"
            raise error("less")

    async def unary_that_reads(_: AsyncIterator[bytes], context: grpc.aio.ServicerContext) -> bytes:
        return await unary(read(await context.read()), context)

    handlers = {
        "unary_unary": grpc.unary_unary_rpc_method_handler(unary, request_deserializer=read),
        "unary_stream": grpc.unary_stream_rpc_method_handler(answers, request_deserializer=read),
        "stream_unary": grpc.stream_unary_rpc_method_handler(unary_that_reads),
        "stream_stream": grpc.stream_stream_rpc_method_handler(both, request_deserializer=read),
    }
    server = grpc.aio.server(interceptors=[ErrorInterceptor(calls_max=10)])
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler(SERVICE, {"Refuse": handlers[kind]}),)
    )
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            for _ in range(3):
                await refused(channel, kind)
    finally:
        await server.stop(None)
    assert 0 == len(alive)


async def refused(channel: grpc.aio.Channel, kind: str) -> None:
    with pytest.raises(grpc.aio.AioRpcError):
        await ask(channel, f"/{SERVICE}/Refuse", kind)


async def ask(channel: grpc.aio.Channel, method: str, kind: str) -> None:
    match kind:
        case "unary_unary" | "stream_unary":  # on the wire they are the same
            await channel.unary_unary(method)(b"raw", timeout=CALL_SECONDS_MAX)
        case "unary_stream":
            async for _ in channel.unary_stream(method)(b"raw", timeout=CALL_SECONDS_MAX):
                pass
        case "stream_stream":
            call = channel.stream_stream(method)(timeout=CALL_SECONDS_MAX)
            await call.write(b"raw")
            while await call.read() is not grpc.aio.EOF:
                pass
