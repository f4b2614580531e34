"""`touchledger bi role` gives each tenant its own way in, tells the password once, and says what is wrong."""

import json
import re
import stat
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import CompletedProcess

import psycopg
import pytest

from tests.support.up import Up, touchledger

Command = Callable[..., CompletedProcess[str]]


@pytest.fixture
def role(system: Up) -> Command:
    def run(*arguments: object) -> CompletedProcess[str]:
        return touchledger("bi", "role", *arguments, "--data", system.data)

    return run


@pytest.fixture
def name(role: Command) -> Iterator[str]:
    """Of a role that nobody else makes, and that is gone after."""
    given = f"role_{uuid.uuid4().hex}"
    yield given
    role("remove", given)


def test_the_url_stands_alone_on_stdout_and_opens_the_rows_of_the_tenant(
    role: Command, name: str
) -> None:
    done = role("add", "another", "--role", name)

    assert done.returncode == 0, done.stderr
    [url] = done.stdout.splitlines()
    assert re.fullmatch(rf"postgresql://{name}:[0-9a-f]{{64}}@127\.0\.0\.1:\d+/scoring", url)
    assert f"role {name} of another; not shown again" in done.stderr
    with psycopg.connect(url) as session:
        tenants = session.execute("SELECT DISTINCT tenant FROM bi.rollup_day").fetchall()
    assert [("another",)] == tenants


def test_a_role_is_called_after_its_tenant_where_no_name_is_given(role: Command) -> None:
    done = role("add", "Shop.eu-1", "--json")

    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert ("touchledger_bi_shop_eu_1", "Shop.eu-1") == (told["role"], told["tenant"])
    assert told["password"] in told["url"]
    assert role("remove", told["role"]).returncode == 0


def test_a_password_file_is_for_its_owner_alone_and_nothing_else_shows_it(
    role: Command, name: str, tmp_path: Path
) -> None:
    file = tmp_path / "password"

    done = role("add", "another", "--role", name, "--password-file", file)

    password = file.read_text().strip()
    assert done.returncode == 0, done.stderr
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert password not in done.stdout + done.stderr
    with psycopg.connect(done.stdout.strip(), password=password) as session:
        assert ("another",) == session.execute("SELECT bi.current_tenant()").fetchone()


def test_a_password_file_that_exists_is_refused_and_nothing_is_made(
    role: Command, name: str, tmp_path: Path
) -> None:
    file = tmp_path / "password"
    file.write_text("of somebody else")

    done = role("add", "another", "--role", name, "--password-file", file)

    assert done.returncode == 2
    assert "cannot be made (File exists)" in done.stderr
    assert file.read_text() == "of somebody else"
    assert name not in role("list").stdout


def test_a_password_file_is_taken_back_when_the_role_is_refused(
    role: Command, name: str, tmp_path: Path
) -> None:
    role("add", "another", "--role", name)
    file = tmp_path / "password"

    done = role("add", "another", "--role", name, "--password-file", file)

    assert done.returncode == 1
    assert f"role {name}: exists, want a new one" in done.stderr
    assert not file.exists()


def test_a_list_has_every_role_with_its_tenant(role: Command, name: str) -> None:
    role("add", "another", "--role", name, "--connections", 3)

    told = json.loads(role("list", "--json").stdout)

    rows = {each["role"]: each for each in told}
    assert {
        "role": name,
        "tenant": "another",
        "connections": 3,
        "connected": 0,
        "state": "ready",
    } == rows[name]
    assert ("default", 20) == (
        rows["touchledger_bi"]["tenant"],
        rows["touchledger_bi"]["connections"],
    )
    assert name in role("list").stdout


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (("add", "a b"), 2, "TENANT: got 'a b', want 1 to 64 letters"),
        (("add", "x" * 64), 2, "want 1 to 63 of a-z, 0-9 and _"),
        (("add", "another", "--role", "Mine"), 2, "want 1 to 63 of a-z, 0-9 and _"),
        (("add", "another", "--role", "pg_mine"), 2, "want 1 to 63 of a-z, 0-9 and _"),
        (("add", "another", "--role", "touchledger_scoring"), 1, "exists, want a new one"),
        (("remove", "touchledger_bi"), 1, "every start makes it"),
        (("remove", "nobody"), 1, "role nobody: unknown"),
    ],
)
def test_a_refusal_is_one_line_that_says_what_is_wanted(
    role: Command, arguments: tuple[str, ...], code: int, told: str
) -> None:
    done = role(*arguments)

    assert (code, "") == (done.returncode, done.stdout)
    assert told in done.stderr
    assert 1 == len(done.stderr.splitlines())


def test_where_nothing_runs_the_command_says_how_to_start_it(tmp_path: Path) -> None:
    for words in (("role", "list"), ("dbt", "analytics")):
        done = touchledger("bi", *words, "--data", tmp_path, folder=tmp_path)

        assert 3 == done.returncode
        assert f"start one with `touchledger up --data {tmp_path}`" in done.stderr


def test_an_admins_url_takes_the_place_of_the_data_folder(
    system: Up, name: str, tmp_path: Path
) -> None:
    admin_url = system.database_url("postgres")

    done = touchledger(
        *("bi", "role", "add", "another", "--role", name, "--data", tmp_path),
        TOUCHLEDGER_DATABASE_URL=admin_url,
    )

    assert done.returncode == 0, done.stderr
    with psycopg.connect(done.stdout.strip()) as session:
        assert ("another",) == session.execute("SELECT bi.current_tenant()").fetchone()


def test_a_system_with_a_server_of_its_own_asks_for_the_admins_url(
    system: Up, tmp_path: Path
) -> None:
    # What is left of such a system: its addresses, and no password of an embedded server.
    (tmp_path / "system.json").write_text(system.system_file.read_text())

    done = touchledger("bi", "role", "list", "--data", tmp_path)

    assert 2 == done.returncode
    assert "want its admin's URL as TOUCHLEDGER_DATABASE_URL" in done.stderr


def test_another_role_is_another_member_and_no_grant_on_any_table(
    system: Up, role: Command, name: str
) -> None:
    role("add", "another", "--role", name)

    direct = system.rows(
        "scoring",
        "SELECT relname FROM pg_class c, aclexplode(c.relacl) a WHERE a.grantee = to_regrole(%s)",
        name,
    )

    assert [] == direct
