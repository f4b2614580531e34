"""What is derived from the one secret stays apart by purpose and by tenant."""

import hmac
from pathlib import Path

import pytest

from services.chassis.errors import Corrupt
from services.gateway.keyring import Keyring

KEYRING = Keyring(bytes(range(32)))


def test_a_customer_has_one_pseudonym_in_a_tenant_and_another_elsewhere() -> None:
    assert KEYRING.pseudonym("a", "customer") == KEYRING.pseudonym("a", "customer")
    assert KEYRING.pseudonym("a", "customer") != KEYRING.pseudonym("b", "customer")
    assert KEYRING.pseudonym("a", "customer") != Keyring(bytes(32)).pseudonym("a", "customer")


@pytest.mark.parametrize("length", [0, 1, 55, 56, 64, 1000])
def test_digests_are_hmac_sha_256_with_a_key_of_their_purpose_and_tenant(length: int) -> None:
    text = "ü" * length
    for purpose, digest in (
        ("pseudonym", KEYRING.pseudonym("acme", text)),
        ("content", KEYRING.content_digest("acme", text.encode()).hex()),
    ):
        key = hmac.digest(bytes(range(32)), f"{len(purpose)}:{purpose}:acme".encode(), "sha256")
        assert hmac.digest(key, text.encode(), "sha256").hex().startswith(digest)
    assert 32 == len(KEYRING.content_digest("acme", b""))


def test_a_pseudonym_is_not_a_prefix_of_another_digest() -> None:
    assert (
        not KEYRING.content_digest("a", b"customer")
        .hex()
        .startswith(KEYRING.pseudonym("a", "customer"))
    )


@pytest.mark.parametrize("text", ["", "zz", "17" * 31, "17" * 33])
def test_a_file_that_holds_no_secret_ends_the_start_without_showing_it(
    tmp_path: Path, text: str
) -> None:
    file = tmp_path / "gateway.key"
    file.write_text(text)
    with pytest.raises(SystemExit, match="want") as ended:
        Keyring.read(file)
    assert not text or text not in str(ended.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"no\.key: FileNotFoundError"):
        Keyring.read(tmp_path / "no.key")


def test_what_is_sealed_is_opened_at_its_place_alone() -> None:
    sealed = KEYRING.sealed("a", b"content", place="quarantine:1")
    assert b"content" == KEYRING.opened("a", sealed, place="quarantine:1")
    for keyring, tenant, place in (
        (KEYRING, "b", "quarantine:1"),
        (KEYRING, "a", "quarantine:2"),
        (Keyring(bytes(32)), "a", "quarantine:1"),
    ):
        with pytest.raises(Corrupt):
            keyring.opened(tenant, sealed, place=place)


def test_the_same_content_is_sealed_otherwise_each_time_and_never_shows() -> None:
    first, second = (KEYRING.sealed("a", b"content", place="p") for _ in range(2))
    assert first != second
    assert b"content" not in first


def test_a_sealed_byte_that_was_touched_is_told() -> None:
    sealed = KEYRING.sealed("a", b"content", place="p")
    for index in range(len(sealed)):
        touched = bytearray(sealed)
        touched[index] ^= 1
        with pytest.raises(Corrupt):
            KEYRING.opened("a", bytes(touched), place="p")
    for length in range(len(sealed)):
        with pytest.raises(Corrupt):
            KEYRING.opened("a", sealed[:length], place="p")
