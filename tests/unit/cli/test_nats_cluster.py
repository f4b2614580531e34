"""The NATS servers on one machine promise what the shipped configuration does, or they are not started."""

from pathlib import Path

import pytest

from services.cli.data_folder import LaunchError
from services.cli.nats_cluster import NAMES, ROUTE_USER, SHIPPED, USERS, Place, local_config

PLACES = [Place(name, 4222 + n, 8222 + n, 6222 + n) for n, name in enumerate(NAMES)]
PASSWORDS = {name: f"password-of-{name}" for name in (*USERS.values(), ROUTE_USER)}


def config(shipped: str) -> str:
    store = Path("/data/nats-1/store")
    return local_config(shipped, PLACES[0], PLACES, store=store, passwords=PASSWORDS)


@pytest.fixture
def shipped() -> str:
    return SHIPPED.read_text()


def test_what_is_acknowledged_is_on_disk(shipped: str) -> None:
    assert "  sync_interval: always\n" in config(shipped)


@pytest.mark.parametrize("other", ["", "  # sync_interval: always\n", "  sync_interval: 2m\n"])
def test_a_configuration_that_does_not_sync_always_is_not_started(shipped: str, other: str) -> None:
    planted = shipped.replace("  sync_interval: always\n", other)
    assert planted != shipped
    with pytest.raises(LaunchError, match="sync_interval: always"):
        config(planted)


@pytest.mark.parametrize(
    "line", ["  routes: [", "server_name: $POD_NAME\n", "      user: gateway\n"]
)
def test_a_shipped_file_of_another_form_is_told_rather_than_taken_half(
    shipped: str, line: str
) -> None:
    assert line in shipped
    with pytest.raises(LaunchError, match="want 1"):
        config(shipped.replace(line, "# "))


def test_limits_and_what_each_user_may_do_are_the_shipped_ones(shipped: str) -> None:
    here = config(shipped).splitlines()
    kept = [line for line in shipped.splitlines() if "max_" in line or "$JS.API" in line]
    assert len(kept) > 5
    assert [line for line in here if line in kept] == kept


def test_users_come_with_passwords_where_certificates_are_there(shipped: str) -> None:
    here = config(shipped)
    for user in USERS.values():
        assert f"user: {user}\n      password: password-of-{user}\n" in here
    assert "tls {" not in here
    assert "verify_and_map" not in here


def test_it_listens_on_loopback_alone(shipped: str) -> None:
    here = config(shipped)
    for address in ("127.0.0.1:4222", "127.0.0.1:6222"):
        assert f"listen: {address}\n" in here
    assert "http: 127.0.0.1:8222\n" in here
    assert [line for line in here.splitlines() if line.strip().startswith("port:")] == []
