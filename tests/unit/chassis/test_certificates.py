"""Until when a process's certificates are good, by the settings that name their files."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
import trustme

from services.chassis.certificates import expiries
from services.chassis.settings import ServiceSettings

SOON, LATER = datetime(2030, 1, 1, tzinfo=UTC), datetime(2036, 2, 29, tzinfo=UTC)


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def told(**files: Path) -> dict[str, float]:
    given = {"listen": "127.0.0.1:1", "database_url": "postgresql://nowhere", **files}
    return dict(expiries(ServiceSettings.model_validate(given)))


def written(file: Path, authority: trustme.CA, *ends: datetime) -> Path:
    issued = [authority.issue_cert("localhost", not_after=each) for each in ends]
    file.write_bytes(b"".join(each.cert_chain_pems[0].bytes() for each in issued))
    return file


def test_a_chain_ends_with_the_first_of_its_certificates(
    tmp_path: Path, authority: trustme.CA
) -> None:
    chain = written(tmp_path / "tls.crt", authority, LATER, SOON)
    assert {"tls_cert_file": SOON.timestamp()} == told(tls_cert_file=chain)


def test_authorities_end_with_the_last_of_them(tmp_path: Path, authority: trustme.CA) -> None:
    both = written(tmp_path / "ca.crt", authority, SOON, LATER)
    assert {"tls_client_ca_file": LATER.timestamp()} == told(tls_client_ca_file=both)


@pytest.mark.parametrize("content", [b"", b"-----BEGIN CERTIFICATE-----\nAAAA\n", None])
def test_of_a_file_that_has_none_nothing_is_told(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "tls.crt"
    if content is not None:
        file.write_bytes(content)
    assert {} == told(tls_cert_file=file)


def test_keys_and_secrets_are_no_certificates(tmp_path: Path, authority: trustme.CA) -> None:
    file = written(tmp_path / "tls.crt", authority, SOON)
    assert {} == told(tls_key_file=file, peers_secret_file=file)
