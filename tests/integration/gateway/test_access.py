"""A key opens what it was made for, and nothing after it was revoked."""

import asyncio
import secrets
import stat
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import asyncpg
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from services.chassis import clock
from services.chassis.errors import Exhausted, Forbidden, Unauthenticated
from services.chassis.postgres import Pool
from services.gateway import access
from services.gateway.access import LOCAL_SCOPES, OPERATE, PUBLISH, QUERY, Access
from services.gateway.keyring import Keyring
from touchledger.v1 import events_pb2

KEYRING = Keyring(bytes(32))
SECRET = "s" * 43
KEY = f"tl_{'a' * 12}_{SECRET}"


@pytest.fixture
async def pool(new_database: Callable[[str], str]) -> AsyncIterator[Pool]:
    url = await asyncio.to_thread(new_database, "gateway")
    async with asyncpg.create_pool(url, min_size=1, max_size=2) as opened:
        await opened.execute(
            access.STORE, "a" * 12, KEYRING.secret_digest(SECRET), "acme", "till", [PUBLISH]
        )
        yield opened


async def test_a_key_says_tenant_and_source(pool: Pool) -> None:
    caller = await Access(pool, KEYRING).admit([("authorization", f"Bearer {KEY}")], PUBLISH)
    assert ("acme", "till", frozenset({PUBLISH})) == (caller.tenant, caller.source, caller.scopes)
    assert ("a" * 12, events_pb2.TRUST_SOURCE) == (caller.key_id, caller.trust)


@pytest.mark.parametrize(
    "metadata",
    [
        [],
        [("authorization", "")],
        [("authorization", "Bearer ")],
        [("authorization", "Bearer nonsense")],
        [("authorization", f"Bearer {KEY[:-1]}t")],
        [("authorization", f"Bearer tl_{'b' * 12}_{SECRET}")],
        [("authorization", f"Bearer {KEY}\0")],
        [("cookie", KEY)],
    ],
)
async def test_anything_else_opens_nothing(pool: Pool, metadata: list[tuple[str, str]]) -> None:
    with pytest.raises(Unauthenticated) as refusal:
        await Access(pool, KEYRING).admit(metadata, PUBLISH)
    assert SECRET not in str(refusal.value)


async def test_a_key_without_the_scope_is_forbidden(pool: Pool) -> None:
    with pytest.raises(Forbidden, match="scope query"):
        await Access(pool, KEYRING).admit_key(KEY, QUERY)


async def test_a_revoked_key_opens_nothing_once_its_trust_has_run_out(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    admitting = Access(pool, KEYRING)
    await admitting.admit_key(KEY, PUBLISH)
    await pool.execute("UPDATE gateway.api_key SET revoked_at = now()")
    await admitting.admit_key(KEY, PUBLISH)
    monkeypatch.setattr(access, "TRUSTED_SECONDS", 0.0)
    with pytest.raises(Unauthenticated):
        await admitting.admit_key(KEY, PUBLISH)


async def test_a_key_that_came_before_is_looked_at_as_one_that_comes_anew(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    admitting, shown = Access(pool, KEYRING), f"Bearer {KEY}"
    first = await admitting.admit_bearer(shown, PUBLISH)
    assert first is await admitting.admit_bearer(shown, PUBLISH)
    with pytest.raises(Forbidden):
        await admitting.admit_bearer(shown, QUERY)
    with pytest.raises(Unauthenticated):
        await admitting.admit_bearer(f"{shown[:-1]}t", PUBLISH)
    await pool.execute("UPDATE gateway.api_key SET revoked_at = now()")
    assert first == await admitting.admit_bearer(shown, PUBLISH)
    monkeypatch.setattr(access, "TRUSTED_SECONDS", 0.0)
    with pytest.raises(Unauthenticated):
        await admitting.admit_bearer(shown, PUBLISH)


async def test_a_key_that_is_forgotten_here_opens_nothing_at_once(pool: Pool) -> None:
    admitting, shown = Access(pool, KEYRING), f"Bearer {KEY}"
    await admitting.admit_bearer(shown, PUBLISH)
    await pool.execute("UPDATE gateway.api_key SET revoked_at = now()")
    admitting.forget("a" * 12)
    with pytest.raises(Unauthenticated):
        await admitting.admit_bearer(shown, PUBLISH)


async def test_what_is_remembered_of_keys_that_came_is_bounded(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(access, "KEYS_CACHED_MAX", 3)
    admitting = Access(pool, KEYRING)
    for blanks in range(1, 6):
        await admitting.admit_bearer(f"Bearer{' ' * blanks}{KEY}", PUBLISH)
    await admitting.admit_bearer(f"Bearer{' ' * access.BEARER_CACHED_LENGTH_MAX}{KEY}", PUBLISH)
    assert [f"Bearer{' ' * blanks}{KEY}" for blanks in (3, 4, 5)] == list(admitting._shown)


async def test_a_key_opens_nothing_from_the_moment_on_when_it_expires(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    expires_at = await pool.fetchval(
        "UPDATE gateway.api_key SET expires_at = now() + interval '1 hour' RETURNING expires_at"
    )
    admitting = Access(pool, KEYRING)
    await admitting.admit_key(KEY, PUBLISH)
    # It is trusted still, and needs no other look to be refused.
    moment = Timestamp(seconds=int(expires_at.timestamp()) + 1)
    await admitting.admit_bearer(f"Bearer {KEY}", PUBLISH)
    monkeypatch.setattr(clock, "now", lambda: moment)
    with pytest.raises(Unauthenticated):
        await admitting.admit_key(KEY, PUBLISH)
    with pytest.raises(Unauthenticated):
        await admitting.admit_bearer(f"Bearer {KEY}", PUBLISH)


@pytest.fixture
async def statements(
    new_database: Callable[[str], str],
) -> AsyncIterator[tuple[Pool, list[str]]]:
    """A pool, and what was asked over it."""
    asked: list[str] = []

    async def listen(connection: "asyncpg.Connection[asyncpg.Record]") -> None:
        connection.add_query_logger(lambda record: asked.append(record.query))

    url = await asyncio.to_thread(new_database, "gateway")
    async with asyncpg.create_pool(url, min_size=1, max_size=2, init=listen) as opened:
        digest = KEYRING.secret_digest(SECRET)
        await opened.execute(access.STORE, "a" * 12, digest, "acme", "till", [PUBLISH])
        asked.clear()
        yield opened, asked


async def test_guessing_costs_the_database_next_to_nothing(
    statements: tuple[Pool, list[str]],
) -> None:
    pool, asked = statements
    admitting = Access(pool, KEYRING)
    guesses = [f"tl_{secrets.token_hex(6)}_{SECRET}" for _ in range(500)]
    answers = await asyncio.gather(
        *(admitting.admit_key(guess, PUBLISH) for guess in [*guesses, KEY, *guesses]),
        return_exceptions=True,
    )
    let_in = [each for each in answers if not isinstance(each, Unauthenticated)]
    assert [await admitting.admit_key(KEY, PUBLISH)] == let_in
    for guess in guesses:
        with pytest.raises(Unauthenticated):
            await admitting.admit_key(guess, PUBLISH)
    assert 1 == asked.count(access.LOOK_UP)


async def test_more_guesses_than_can_be_looked_up_at_once_are_told_to_come_back(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(access, "KEYS_LOOKED_UP_MAX", 2)
    admitting = Access(pool, KEYRING)
    guesses = [f"tl_{secrets.token_hex(6)}_{SECRET}" for _ in range(3)]
    answers = await asyncio.gather(
        *(admitting.admit_key(guess, PUBLISH) for guess in guesses), return_exceptions=True
    )
    assert [Unauthenticated, Unauthenticated, Exhausted] == [type(each) for each in answers]
    assert "till" == (await admitting.admit_key(KEY, PUBLISH)).source


async def test_guesses_drive_no_good_key_out(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access, "UNKNOWN_CACHED_MAX", 3)
    admitting = Access(pool, KEYRING)
    await admitting.admit_key(KEY, PUBLISH)
    for _ in range(5):
        with pytest.raises(Unauthenticated):
            await admitting.admit_key(f"tl_{secrets.token_hex(6)}_{SECRET}", PUBLISH)
    assert ["a" * 12] == list(admitting._known)
    assert 3 == len(admitting._unknown)


async def test_a_caller_that_gives_up_takes_the_answer_from_nobody(pool: Pool) -> None:
    admitting = Access(pool, KEYRING)
    first = asyncio.create_task(admitting.admit_key(KEY, PUBLISH))
    second = asyncio.create_task(admitting.admit_key(KEY, PUBLISH))
    await asyncio.sleep(0)
    first.cancel()
    assert "till" == (await second).source


async def test_a_database_that_is_away_is_told_to_all_that_wait_and_asked_again(
    pool: Pool,
) -> None:
    admitting = Access(pool, KEYRING)
    await pool.execute("ALTER TABLE gateway.api_key RENAME TO gone")
    answers = await asyncio.gather(
        *(admitting.admit_key(KEY, PUBLISH) for _ in range(3)), return_exceptions=True
    )
    assert [asyncpg.UndefinedTableError] * 3 == [type(each) for each in answers]
    await pool.execute("ALTER TABLE gateway.gone RENAME TO api_key")
    assert "till" == (await admitting.admit_key(KEY, PUBLISH)).source


async def test_the_secret_is_not_in_the_database(pool: Pool) -> None:
    rows = await pool.fetch("SELECT * FROM gateway.api_key")
    assert SECRET not in str(rows)
    assert SECRET.encode() not in rows[0]["secret_digest"]


async def test_the_keys_that_are_remembered_are_bounded(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(access, "KEYS_CACHED_MAX", 1)
    digest = KEYRING.secret_digest(SECRET)
    await pool.execute(access.STORE, "b" * 12, digest, "acme", "web", [PUBLISH])
    admitting = Access(pool, KEYRING)
    for key_id in ("a" * 12, "b" * 12):
        await admitting.admit_key(f"tl_{key_id}_{SECRET}", PUBLISH)
    assert ["b" * 12] == list(admitting._known)


async def test_the_local_key_is_made_once_and_readable_by_its_owner_alone(
    pool: Pool, tmp_path: Path
) -> None:
    file = tmp_path / "local.key"
    admitting = Access(pool, KEYRING)
    await admitting.keep_local_key(file)
    key = file.read_text()
    await admitting.keep_local_key(file)
    assert key == file.read_text()
    assert 0o600 == stat.S_IMODE(file.stat().st_mode)
    assert "local" == (await admitting.admit_key(key.strip(), QUERY)).source


async def test_the_local_key_of_an_earlier_release_gets_what_it_needs_now(
    pool: Pool, tmp_path: Path
) -> None:
    file = tmp_path / "local.key"
    file.write_text(KEY)
    await Access(pool, KEYRING).keep_local_key(file)
    caller = await Access(pool, KEYRING).admit_key(KEY, QUERY)
    assert {*LOCAL_SCOPES, OPERATE} == caller.scopes


async def test_a_local_key_that_was_revoked_stays_so(pool: Pool, tmp_path: Path) -> None:
    file = tmp_path / "local.key"
    await Access(pool, KEYRING).keep_local_key(file)
    await pool.execute("UPDATE gateway.api_key SET revoked_at = now() WHERE source = 'local'")
    admitting = Access(pool, KEYRING)
    await admitting.keep_local_key(file)
    with pytest.raises(Unauthenticated):
        await admitting.admit_key(file.read_text().strip(), QUERY)


async def test_the_local_key_works_again_on_a_new_database(pool: Pool, tmp_path: Path) -> None:
    file = tmp_path / "local.key"
    await Access(pool, KEYRING).keep_local_key(file)
    await pool.execute("DELETE FROM gateway.api_key")
    await Access(pool, KEYRING).keep_local_key(file)
    assert (
        "local" == (await Access(pool, KEYRING).admit_key(file.read_text().strip(), QUERY)).source
    )
