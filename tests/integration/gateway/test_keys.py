"""KeyService makes keys that open what they were made for, shows them without secrets, and revokes them."""

import asyncio
import contextlib
import secrets
import shutil
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from services.chassis import clock
from services.chassis.errors import (
    ErrorInterceptor,
    NotFound,
    ServiceError,
    Unauthenticated,
    from_rpc,
)
from services.chassis.migrations import migrate
from services.chassis.postgres import Pool
from services.gateway import keys_servicer
from services.gateway.access import (
    ADMIN,
    BEACON,
    LOCAL_SCOPES,
    PUBLISH,
    QUERY,
    RECOVER,
    Access,
)
from services.gateway.first_key import first_key
from services.gateway.keys_servicer import LIVE_KEYS_MAX, KeyServicer
from services.gateway.limits import Limits
from services.gateway.settings import Settings
from tests.support.gateway_keys import KEYRING, add_key, bearer
from touchledger.v1 import events_pb2, keys_pb2, keys_pb2_grpc

SETTINGS = Settings.model_validate(
    {"database_url": "postgresql://nowhere", "secret_key_file": "nowhere"}
)


MIGRATIONS = Path(keys_servicer.__file__).parent / "sql"


@dataclass(frozen=True)
class Admin:
    """Asks for tenant acme with a key of the scope admin."""

    url: str
    pool: Pool
    access: Access
    stub: Any
    key: str

    async def ask(self, rpc: str, **fields: Any) -> Any:
        request = getattr(keys_pb2, f"{rpc}Request")(**fields)
        return await getattr(self.stub, rpc)(request, metadata=bearer(self.key), timeout=20)

    async def create(self, source: str = "till", **fields: Any) -> keys_pb2.CreateKeyResponse:
        fields.setdefault("scopes", [PUBLISH])
        answer: keys_pb2.CreateKeyResponse = await self.ask(
            "CreateKey", key=keys_pb2.Key(source=source, **fields)
        )
        return answer

    async def refusal(self, rpc: str, **fields: Any) -> ServiceError:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await self.ask(rpc, **fields)
        return from_rpc(refused.value)


@pytest.fixture
async def admin(new_database: Callable[[str], str]) -> AsyncIterator[Admin]:
    url = await asyncio.to_thread(new_database, "gateway")
    key = await add_key(url, "acme", [ADMIN], source="office")
    async with contextlib.AsyncExitStack() as stack:
        pool = await stack.enter_async_context(asyncpg.create_pool(url, min_size=1, max_size=4))
        access = Access(pool, KEYRING)
        server = grpc.aio.server(interceptors=[ErrorInterceptor(calls_max=1000)])
        keys_pb2_grpc.add_KeyServiceServicer_to_server(
            KeyServicer(access, Limits(SETTINGS, pool), pool, KEYRING), server
        )
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        stack.push_async_callback(server.stop, None)
        channel = await stack.enter_async_context(grpc.aio.insecure_channel(f"127.0.0.1:{port}"))
        yield Admin(url, pool, access, keys_pb2_grpc.KeyServiceStub(channel), key)


async def test_a_key_that_was_made_opens_what_it_was_made_for(admin: Admin) -> None:
    answer = await admin.create(
        scopes=[RECOVER, QUERY, PUBLISH, QUERY],
        trust=events_pb2.TRUST_AUDITED,
        events_per_second=5,
        burst_events=6,
        bytes_per_second=7,
        concurrent_calls=8,
        events_per_day=9,
    )
    caller = await admin.access.admit_key(answer.secret, QUERY)
    assert ("acme", "till", answer.key.key_id) == (caller.tenant, caller.source, caller.key_id)
    assert frozenset({PUBLISH, QUERY, RECOVER}) == caller.scopes
    assert events_pb2.TRUST_AUDITED == caller.trust
    limits = (caller.events_per_second, caller.burst_events, caller.bytes_per_second)
    assert (5, 6, 7) == limits
    assert (8, 9) == (caller.concurrent_calls, caller.events_per_day)


async def test_trust_is_that_of_a_source_unless_another_is_said(admin: Admin) -> None:
    assert events_pb2.TRUST_SOURCE == (await admin.create()).key.trust


async def test_a_beacon_key_is_trusted_as_anybody_and_tied_to_its_origins(admin: Admin) -> None:
    origins = ["https://shop.example", "http://localhost:8080", "http://[::1]:8080"]
    answer = await admin.create(scopes=[BEACON], origins=origins)
    caller = await admin.access.admit_key(answer.secret, BEACON)
    assert (tuple(origins), events_pb2.TRUST_OPEN) == (caller.origins, caller.trust)


async def test_the_secret_is_told_once(admin: Admin) -> None:
    answer = await admin.create()
    secret = answer.secret.split("_", 2)[2]
    listed = await admin.ask("ListKeys", include_dead=True)
    rows = await admin.pool.fetch("SELECT * FROM gateway.api_key")
    assert secret not in f"{listed} {rows} {answer.key}"


MOMENT = Timestamp(seconds=1)


@pytest.mark.parametrize(
    ("field", "given"),
    [
        ("key.source", {"source": ""}),
        ("key.source", {"source": "s" * 129}),
        ("key.source", {"source": "a\0b"}),
        ("key.source", {"source": "touchledger"}),
        ("key.scopes", {"scopes": []}),
        ("key.scopes", {"scopes": ["everything"]}),
        ("key.scopes", {"scopes": [BEACON, PUBLISH]}),
        ("key.trust", {"trust": 17}),
        (
            "key.trust",
            {"scopes": [BEACON], "origins": ["https://a.example"], "trust": "TRUST_AUDITED"},
        ),
        ("key.origins", {"origins": ["https://a.example"]}),
        ("key.origins", {"scopes": [BEACON]}),
        ("key.origins", {"scopes": [BEACON], "origins": ["https://a.example"] * 33}),
        *(
            ("key.origins", {"scopes": [BEACON], "origins": [origin]})
            for origin in ("*", "null", "https://A.example", "https://a.example/", "a.example")
        ),
        ("key.expires_at", {"expires_at": MOMENT}),
        ("key.expires_at", {"expires_at": Timestamp(seconds=2**62)}),
        ("key.expires_at", {"expires_at": Timestamp(seconds=2**32, nanos=-1)}),
        ("key.events_per_day", {"events_per_day": 2**63}),
        ("key.bytes_per_second", {"bytes_per_second": 2**63}),
        ("key.key_id", {"key_id": "chosen"}),
        ("key.created_at", {"created_at": MOMENT}),
        ("key.revoked_at", {"revoked_at": MOMENT}),
    ],
)
async def test_what_a_key_can_not_be_is_refused_by_its_field(
    admin: Admin, field: str, given: dict[str, Any]
) -> None:
    key = keys_pb2.Key(**{"source": "till", "scopes": [PUBLISH], **given})
    refused = await admin.refusal("CreateKey", key=key)
    assert ("INVALID_ARGUMENT", field) == (refused.problem.code, refused.problem.field)
    assert 1 == await admin.pool.fetchval("SELECT count(*) FROM gateway.api_key")


async def test_a_limit_of_a_newer_contract_is_not_left_out_in_silence(admin: Admin) -> None:
    newer = keys_pb2.Key.FromString(
        keys_pb2.Key(source="till", scopes=[PUBLISH]).SerializeToString() + b"\xf8\x07\x01"
    )
    refused = await admin.refusal("CreateKey", key=newer)
    assert "UNKNOWN_FIELD" == refused.problem.code


async def test_two_keys_live_at_once_so_that_one_can_follow_the_other(admin: Admin) -> None:
    first = await admin.create(scopes=[PUBLISH])
    await admin.create(scopes=[PUBLISH, QUERY])
    refused = await admin.refusal("CreateKey", key=keys_pb2.Key(source="till", scopes=[PUBLISH]))
    assert ("TOO_MANY_KEYS", "FAILED_PRECONDITION") == (
        refused.problem.code,
        refused.status.name,
    )
    assert "publish" in refused.problem.got
    await admin.create(scopes=[QUERY])
    await admin.create(source="another till")
    await admin.ask("RevokeKey", key_id=first.key.key_id)
    await admin.create(scopes=[PUBLISH])


async def test_a_key_that_has_expired_makes_room(admin: Admin) -> None:
    for _ in range(LIVE_KEYS_MAX):
        soon = Timestamp(seconds=clock.now().seconds + 3600)
        await admin.create(expires_at=soon)
    await admin.pool.execute(
        "UPDATE gateway.api_key SET expires_at = now() WHERE expires_at IS NOT NULL"
    )
    await admin.create()


async def test_keys_made_at_the_same_time_are_no_more_than_two(admin: Admin) -> None:
    made = await asyncio.gather(*(admin.create() for _ in range(8)), return_exceptions=True)
    assert LIVE_KEYS_MAX == sum(isinstance(each, keys_pb2.CreateKeyResponse) for each in made)


async def test_a_list_has_the_live_keys_of_the_tenant_the_youngest_first(admin: Admin) -> None:
    await add_key(admin.url, "other", [PUBLISH])
    made = [(await admin.create(source=f"till-{number}")).key for number in range(3)]
    await admin.ask("RevokeKey", key_id=made[1].key_id)
    listed = (await admin.ask("ListKeys")).keys
    assert ["till-2", "till-0", "office"] == [key.source for key in listed]
    assert made[2] == listed[0]
    with_dead = (await admin.ask("ListKeys", include_dead=True)).keys
    assert ["till-2", "till-1", "till-0", "office"] == [key.source for key in with_dead]
    assert with_dead[1].HasField("revoked_at")
    assert ["till-0"] == [key.source for key in (await admin.ask("ListKeys", source="till-0")).keys]


async def test_a_key_that_was_revoked_opens_nothing_here_from_then_on(admin: Admin) -> None:
    answer = await admin.create()
    await admin.access.admit_key(answer.secret, PUBLISH)
    first = await admin.ask("RevokeKey", key_id=answer.key.key_id)
    with pytest.raises(Unauthenticated):
        await admin.access.admit_key(answer.secret, PUBLISH)
    assert first == await admin.ask("RevokeKey", key_id=answer.key.key_id)


@pytest.mark.parametrize("key_id", ["", "x", "b" * 12])
async def test_a_key_that_is_not_there_can_not_be_revoked(admin: Admin, key_id: str) -> None:
    assert isinstance(await admin.refusal("RevokeKey", key_id=key_id), NotFound)


async def test_a_gateway_of_the_release_before_goes_on_with_the_table(admin: Admin) -> None:
    """Its statements, as they were released."""
    answer = await admin.create()
    row = await admin.pool.fetchrow(
        "SELECT secret_digest, tenant, source, scopes FROM gateway.api_key "
        "WHERE key_id = $1 AND revoked_at IS NULL",
        answer.key.key_id,
    )
    assert ["acme", "till", [PUBLISH]] == list(row.values())[1:]  # type: ignore[union-attr]  # the row is there
    await admin.pool.execute(
        "INSERT INTO gateway.api_key (key_id, secret_digest, tenant, source, scopes) "
        "VALUES ($1, $2, $3, $4, $5) ON CONFLICT (key_id) DO NOTHING",
        *("c" * 12, b"digest", "acme", "local", [PUBLISH, QUERY]),
    )


async def test_a_tenant_without_a_key_gets_its_first_one_from_the_operator(admin: Admin) -> None:
    key = await first_key(admin.pool, KEYRING, "newcomer")
    caller = await admin.access.admit_key(key, ADMIN)
    assert ("newcomer", frozenset(LOCAL_SCOPES)) == (caller.tenant, caller.scopes)
    with pytest.raises(SystemExit, match="want that key to make others"):
        await first_key(admin.pool, KEYRING, "newcomer")
    await admin.pool.execute("UPDATE gateway.api_key SET revoked_at = now()")
    await first_key(admin.pool, KEYRING, "newcomer")


async def test_keys_of_the_release_before_open_what_they_opened(
    admin_url: str, tmp_path: Path
) -> None:
    """The tables as they were released, with a key in them, and then the migrations since."""
    name = f"keys_of_before_{secrets.token_hex(4)}"
    connection = await asyncpg.connect(admin_url)
    await connection.execute(f"CREATE DATABASE {name}")
    await connection.close()
    shutil.copy(MIGRATIONS / "0001_api_key.sql", tmp_path)
    async with asyncpg.create_pool(f"{admin_url.rpartition('/')[0]}/{name}") as pool:
        await migrate(pool, tmp_path)
        await pool.execute(
            "INSERT INTO gateway.api_key (key_id, secret_digest, tenant, source, scopes) "
            "VALUES ($1, $2, $3, $4, $5)",
            *("d" * 12, KEYRING.secret_digest("s" * 43), "acme", "till", [PUBLISH]),
        )
        await migrate(pool, MIGRATIONS)
        caller = await Access(pool, KEYRING).admit_key(f"tl_{'d' * 12}_{'s' * 43}", PUBLISH)
    assert ("acme", "till", events_pb2.TRUST_SOURCE) == (
        caller.tenant,
        caller.source,
        caller.trust,
    )
