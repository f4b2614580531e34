"""A key opens what it was made for, and nothing after it was revoked."""

import asyncio
import stat
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import asyncpg
import pytest

from services.chassis.errors import Forbidden, Unauthenticated
from services.chassis.postgres import Pool
from services.gateway import access
from services.gateway.access import PUBLISH, QUERY, Access, Caller
from services.gateway.keyring import Keyring

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
    assert Caller("acme", "till", frozenset({PUBLISH})) == caller


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


async def test_the_local_key_works_again_on_a_new_database(pool: Pool, tmp_path: Path) -> None:
    file = tmp_path / "local.key"
    await Access(pool, KEYRING).keep_local_key(file)
    await pool.execute("DELETE FROM gateway.api_key")
    await Access(pool, KEYRING).keep_local_key(file)
    assert (
        "local" == (await Access(pool, KEYRING).admit_key(file.read_text().strip(), QUERY)).source
    )
