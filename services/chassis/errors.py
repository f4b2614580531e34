"""The few errors that services raise, and the one place that turns them into a gRPC status and back.

Raise them anywhere. ErrorInterceptor makes the status on the way out, from_rpc makes the class again on
the calling side. Whatever else is raised becomes INTERNAL with neutral text, since payloads are personal.
"""

import asyncio
import contextlib
import inspect
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from typing import Any, ClassVar

import asyncpg
import grpc
import structlog
from google.protobuf import any_pb2, duration_pb2, message
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

from services.chassis.connections import Peer, peer_of
from touchledger.v1 import problem_pb2

log = structlog.get_logger()

# What a caller waits before it repeats a call that failed for want of a dependency or a place in a queue.
RETRY_AFTER_SECONDS = 0.5
# Probes must be answered whatever the load.
HEALTH = "/grpc.health."


class ServiceError(Exception):
    """Something that the caller is told: which field, what came, what is wanted."""

    status: ClassVar[grpc.StatusCode]
    retryable: ClassVar[bool] = False

    def __init__(
        self,
        want: str,
        *,
        code: str = "",
        field: str = "",
        got: str = "",
        retry_after_seconds: float = RETRY_AFTER_SECONDS,
    ) -> None:
        self.problem = problem_pb2.Problem(
            code=code or self.status.name, field=field, got=got, want=want, retryable=self.retryable
        )
        if self.retryable:
            self.problem.retry_after.CopyFrom(seconds(retry_after_seconds))
        super().__init__(describe(self.problem))


class Malformed(ServiceError):
    """The request can't be taken as it is; repeating it changes nothing."""

    status = grpc.StatusCode.INVALID_ARGUMENT


class Unauthenticated(ServiceError):
    """Nobody knows who asks."""

    status = grpc.StatusCode.UNAUTHENTICATED


class Forbidden(ServiceError):
    """It is known who asks, and that is not allowed."""

    status = grpc.StatusCode.PERMISSION_DENIED


class NotFound(ServiceError):
    """There is no such thing, or it belongs to another tenant."""

    status = grpc.StatusCode.NOT_FOUND


class Conflict(ServiceError):
    """The request does not fit the state that things are in."""

    status = grpc.StatusCode.FAILED_PRECONDITION


class Corrupt(ServiceError):
    """Stored data breaks a promise. Somebody must be called."""

    status = grpc.StatusCode.DATA_LOSS


class Exhausted(ServiceError):
    """A limit is reached; later it may be free."""

    status = grpc.StatusCode.RESOURCE_EXHAUSTED
    retryable = True


class Unavailable(ServiceError):
    """A dependency is away; it is not known whether anything was done."""

    status = grpc.StatusCode.UNAVAILABLE
    retryable = True


BY_STATUS: dict[grpc.StatusCode, type[ServiceError]] = {
    error.status: error
    for error in (
        Malformed,
        Unauthenticated,
        Forbidden,
        NotFound,
        Conflict,
        Corrupt,
        Exhausted,
        Unavailable,
    )
} | {grpc.StatusCode.DEADLINE_EXCEEDED: Unavailable}
BY_CODE = {status.name: error for status, error in BY_STATUS.items()}

# The database is away, starting, stopping, full, or too slow: the same request may succeed later.
DATABASE_AWAY = (
    OSError,
    TimeoutError,
    asyncpg.PostgresConnectionError,
    asyncpg.InvalidCatalogNameError,
    # What asyncpg raises when it has read that the server ends the connection, but not yet its end.
    asyncpg.InternalClientError,
    asyncpg.InterfaceError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.LockNotAvailableError,
    asyncpg.IdleInTransactionSessionTimeoutError,
)


def place_of(error: BaseException) -> str:
    """Where it was raised, FILE:LINE: what a log may say of an exception beside its type."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}" if trace else ""


def describe(problem: problem_pb2.Problem) -> str:
    """One line for people: "PublishRequest.event.event_id: got nothing, want 1 to 128 characters"."""
    subject = f"{problem.field}: " if problem.field else ""
    got = f"got {problem.got}, " if problem.got else ""
    return f"{subject}{got}want {problem.want}" if subject or got else problem.want


def seconds(value: float) -> duration_pb2.Duration:
    duration = duration_pb2.Duration()
    duration.FromNanoseconds(round(value * 1e9))
    return duration


def status_of(error: ServiceError) -> status_pb2.Status:
    """The rich status: our Problem, and RetryInfo whenever repeating makes sense and never otherwise."""
    details: list[message.Message] = [error.problem]
    if error.retryable:
        details.append(error_details_pb2.RetryInfo(retry_delay=error.problem.retry_after))
    status = status_pb2.Status(code=error.status.value[0], message=str(error))
    for detail in details:
        packed = any_pb2.Any()
        packed.Pack(detail)
        status.details.append(packed)
    return status


def from_rpc(error: grpc.aio.AioRpcError) -> ServiceError:
    """The class that the called service raised."""
    kind = BY_STATUS.get(error.code(), Unavailable)
    # Where the other side gave no problem, the text is the transport's and names addresses, or of an
    # error that the other side has logged: neither is ours to pass on.
    problem = _nothing_told(error.code())
    rich = rpc_status.from_call(error)
    for detail in rich.details if rich else ():
        if detail.Is(problem_pb2.Problem.DESCRIPTOR):
            detail.Unpack(problem)
    return _of_problem(kind, problem)


def from_outcome(problem: problem_pb2.Problem) -> ServiceError:
    """The class behind a problem that came in place of one of several answers, see `outcome_of`."""
    if problem.code == grpc.StatusCode.INTERNAL.name:
        return _of_problem(Unavailable, _nothing_told(grpc.StatusCode.INTERNAL))
    unnamed = Unavailable if problem.retryable else Malformed
    return _of_problem(BY_CODE.get(problem.code, unnamed), problem)


def _nothing_told(status: grpc.StatusCode) -> problem_pb2.Problem:
    return problem_pb2.Problem(want=f"a working service behind this one ({status.name})")


def _of_problem(kind: type[ServiceError], problem: problem_pb2.Problem) -> ServiceError:
    return kind(
        problem.want,
        code=problem.code,
        field=problem.field,
        got=problem.got,
        retry_after_seconds=problem.retry_after.ToNanoseconds() / 1e9 or RETRY_AFTER_SECONDS,
    )


def translate(error: BaseException, *, method: str) -> ServiceError | None:
    """What the caller is told of an exception; None when it is told nothing but INTERNAL."""
    if isinstance(error, ServiceError):
        return error
    if isinstance(error, grpc.aio.AioRpcError):
        return from_rpc(error)
    # A ValueError among them is asyncpg's word for an argument of the wrong type: a bug, not an outage.
    if isinstance(error, DATABASE_AWAY) and not isinstance(error, ValueError):
        log.warning("database away", method=method, error=type(error).__name__)
        return Unavailable("the database, which is away; nothing is known to be stored")
    return None


def outcome_of(error: Exception, *, method: str) -> problem_pb2.Problem:
    """What stands in place of one of several answers, where a call of its own would end with a status."""
    told = translate(error, method=method)
    if told is not None:
        return told.problem
    _log_unexpected(error, method)
    return problem_pb2.Problem(
        code=grpc.StatusCode.INTERNAL.name, want="a service without faults; its log tells more"
    )


def _log_unexpected(error: BaseException, method: str) -> None:
    # The text of an exception may quote a payload.
    log.error("unexpected", method=method, error=type(error).__name__, where=place_of(error))


class ErrorInterceptor(grpc.aio.ServerInterceptor):
    """Parses requests itself, so that malformed bytes are INVALID_ARGUMENT, and makes statuses of errors.

    Of calls beyond calls_max at once it makes RESOURCE_EXHAUSTED with RetryInfo; streams of requests count,
    streams of answers alone don't.
    """

    def __init__(self, *, calls_max: int) -> None:
        self._calls_max = calls_max
        self._calls = 0
        # Set it, and calls are refused from then on. Streams that would go on for ever end themselves; of a
        # stream of requests the next one is Unavailable, so that its servicer has time to answer the others.
        self.refusing = asyncio.Event()
        # Calls that were let in and whose answer is not sent yet, by the task that gRPC runs each in.
        self._under_way: dict[asyncio.Task[Any], grpc.aio.ServicerContext] = {}

    def peers_under_way(self) -> set[Peer]:
        """Who waits for the answer to a call that was let in."""
        # gRPC drops a call after its task is done, and crashes when asked of it then.
        return {
            peer_of(context.peer()) for task, context in self._under_way.items() if not task.done()
        }

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler:
        handler = await continuation(handler_call_details)
        if handler is None:
            return handler
        method = handler_call_details.method
        if handler.stream_unary is not None:
            return grpc.stream_unary_rpc_method_handler(
                self._unary(handler, method), response_serializer=handler.response_serializer
            )
        if handler.request_streaming:
            return grpc.stream_stream_rpc_method_handler(
                self._both_streaming(handler, method),
                response_serializer=handler.response_serializer,
            )
        if handler.response_streaming:
            return grpc.unary_stream_rpc_method_handler(
                self._streaming(handler, method), response_serializer=handler.response_serializer
            )
        return grpc.unary_unary_rpc_method_handler(
            self._unary(handler, method), response_serializer=handler.response_serializer
        )

    def _unary(
        self, handler: grpc.RpcMethodHandler, method: str
    ) -> Callable[[bytes, grpc.aio.ServicerContext], Awaitable[Any]]:
        async def call(raw: Any, context: grpc.aio.ServicerContext) -> Any:
            self._calls += 1
            try:
                self._admit(method, context)
                if handler.stream_unary is not None:
                    # It reads from the context, and parses, as the gateway's interceptor does.
                    return await handler.stream_unary(raw, context)
                answer = handler.unary_unary(parse(handler, raw), context)
                # The health servicer of grpcio-health-checking answers Check without a coroutine.
                return await answer if inspect.isawaitable(answer) else answer
            except Exception as error:
                status = _refusal(error, method)
            finally:
                self._calls -= 1
            # Not in the clause above and not with the request at hand: gRPC keeps what abort raises in a
            # cycle, and what that refers to, until garbage is collected: a flood would fill the memory.
            del raw
            return await context.abort_with_status(status)

        return call

    def _admit(self, method: str, context: grpc.aio.ServicerContext) -> None:
        if self._calls > self._calls_max and not method.startswith(HEALTH):
            raise Exhausted("fewer calls at once", got=f"{self._calls}")
        self._let_in(method, context)

    def _let_in(self, method: str, context: grpc.aio.ServicerContext) -> None:
        if method.startswith(HEALTH):
            return
        if self.refusing.is_set():
            raise Unavailable("another replica; this one is stopping")
        # gRPC sends the answer in the task that the handler runs in.
        task = asyncio.current_task()
        assert task is not None
        self._under_way[task] = context
        task.add_done_callback(self._under_way.pop)

    def _streaming(
        self, handler: grpc.RpcMethodHandler, method: str
    ) -> Callable[[bytes, grpc.aio.ServicerContext], AsyncIterator[Any]]:
        async def stream(raw: bytes, context: grpc.aio.ServicerContext) -> AsyncIterator[Any]:
            try:
                self._let_in(method, context)
                async for answer in _answers(handler.unary_stream(parse(handler, raw), context)):
                    yield answer
                return
            except Exception as error:
                status = _refusal(error, method)
            await context.abort_with_status(status)

        return stream

    def _both_streaming(
        self, handler: grpc.RpcMethodHandler, method: str
    ) -> Callable[[AsyncIterator[bytes], grpc.aio.ServicerContext], AsyncIterator[Any]]:
        async def stream(
            raw: AsyncIterator[bytes], context: grpc.aio.ServicerContext
        ) -> AsyncIterator[Any]:
            self._calls += 1
            try:
                self._admit(method, context)
                async with contextlib.aclosing(self._parsed(handler, context)) as requests:
                    async for answer in _answers(handler.stream_stream(requests, context)):
                        yield answer
                return
            except Exception as error:
                status = _refusal(error, method)
            finally:
                self._calls -= 1
            await context.abort_with_status(status)

        return stream

    async def _parsed(
        self, handler: grpc.RpcMethodHandler, context: grpc.aio.ServicerContext
    ) -> AsyncGenerator[Any, None]:
        refused = asyncio.create_task(self.refusing.wait(), name="until calls are refused")
        try:
            while True:
                reading = asyncio.create_task(context.read(), name="read a request")
                try:
                    await asyncio.wait({reading, refused}, return_when=asyncio.FIRST_COMPLETED)
                    if refused.done():
                        raise Unavailable("another replica; this one is stopping")
                finally:
                    reading.cancel()
                raw = reading.result()
                if raw is grpc.aio.EOF:
                    return
                yield parse(handler, raw)
        finally:
            refused.cancel()


async def _answers(answers: Any) -> AsyncIterator[Any]:
    if inspect.isasyncgen(answers):
        async for answer in answers:
            yield answer
    else:  # a servicer that writes to the context, as the health servicer's Watch does
        await answers


def parse(handler: grpc.RpcMethodHandler, raw: bytes) -> Any:
    try:
        return handler.request_deserializer(raw)
    except message.DecodeError:
        raise Malformed("a serialised request message", got=f"{len(raw)} other bytes") from None


def _refusal(error: Exception, method: str) -> grpc.Status:
    """What the call ends with."""
    if isinstance(error, grpc.aio.AbortError):
        raise error
    told = translate(error, method=method)
    if told is not None:
        return rpc_status.to_status(status_of(told))
    _log_unexpected(error, method)
    return rpc_status.to_status(
        status_pb2.Status(
            code=grpc.StatusCode.INTERNAL.value[0],
            message="internal error; the service's log tells more",
        )
    )
