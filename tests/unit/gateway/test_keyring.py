"""What is derived from the one secret stays apart by purpose and by tenant."""

from pathlib import Path

import pytest

from services.gateway.keyring import Keyring

KEYRING = Keyring(bytes(range(32)))


def test_a_customer_has_one_pseudonym_in_a_tenant_and_another_elsewhere() -> None:
    assert KEYRING.pseudonym("a", "customer") == KEYRING.pseudonym("a", "customer")
    assert KEYRING.pseudonym("a", "customer") != KEYRING.pseudonym("b", "customer")
    assert KEYRING.pseudonym("a", "customer") != Keyring(bytes(32)).pseudonym("a", "customer")


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
