"""A start that cannot go well is refused in one line, with nothing half done and nothing left running."""

import importlib.util
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import psycopg
import pytest

from services.cli.child import becoming
from services.cli.postgres_account import NOBODY
from tests.support.stack import free_port
from tests.support.up import (
    FREE_PORTS,
    Up,
    environment,
    processes_of,
    running_up,
    touchledger,
    wait_for,
)

ADMIN = "old_admin"
ROOT = os.geteuid() == 0
EXIT_SECONDS_MAX = 30


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that somebody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


AsNobodySpecial = Callable[[Sequence[object]], list[str]]


@pytest.fixture(scope="session")
def as_nobody_special() -> AsNobodySpecial:
    """Makes a command run without root's rights, which are above file modes and which PostgreSQL refuses."""

    def wrapped(command: Sequence[object]) -> list[str]:
        # In a user namespace of its own our user is not root, and outside of it the files are still ours.
        words = [str(word) for word in command]
        return becoming(words, dies_by=signal.SIGINT, namespace_uid=NOBODY if ROOT else None)

    if subprocess.run(wrapped(["/bin/true"]), check=False).returncode:
        pytest.skip("NOT CHECKED AS ROOT: user namespaces are refused here; want an ordinary user")
    return wrapped


@pytest.fixture(scope="module")
def old_postgres(
    as_nobody_special: AsNobodySpecial, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """The URL of a PostgreSQL 16, as its superuser."""
    found = importlib.util.find_spec("pgserver")
    assert found, "the wheel pgserver is in requirements/dev.txt"
    programs = Path((found.submodule_search_locations or [""])[0]) / "pginstall" / "bin"
    folder, port = tmp_path_factory.mktemp("old"), free_port()
    cluster = folder / "postgres"

    def run(program: str, *arguments: object) -> subprocess.Popen[bytes]:
        with (folder / "log").open("ab") as log:
            return subprocess.Popen(
                as_nobody_special([programs / program, *arguments]),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment(LC_ALL="C"),
            )

    settings = ("--auth=trust", "--no-sync", "--set=shared_buffers=16MB")
    assert run("initdb", "-D", cluster, "--username", ADMIN, *settings).wait(EXIT_SECONDS_MAX) == 0
    address = ("-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=")
    server = run("postgres", "-D", cluster, "-c", f"port={port}", *address)
    url = f"postgresql://{ADMIN}@127.0.0.1:{port}/postgres?sslmode=disable"

    def answers() -> bool:
        assert server.poll() is None, (folder / "log").read_text()
        try:
            psycopg.connect(url).close()
        except psycopg.OperationalError:
            return False
        return True

    try:
        wait_for(answers, "PostgreSQL 16")
        yield url
    finally:
        server.send_signal(signal.SIGINT)
        server.wait(EXIT_SECONDS_MAX)


def up(data: Path, *options: object, **variables: str) -> "subprocess.CompletedProcess[str]":
    return touchledger("up", "--data", data, *FREE_PORTS, *options, folder=data.parent, **variables)


def service(name: str, **variables: str) -> "subprocess.CompletedProcess[str]":
    """A single service, started with these of its variables, run to its end."""
    prefix = f"TOUCHLEDGER_{name.upper()}_"
    return subprocess.run(
        [sys.executable, "-m", f"services.{name}"],
        env=environment(**{prefix + variable: value for variable, value in variables.items()}),
        capture_output=True,
        text=True,
        timeout=EXIT_SECONDS_MAX,
        check=False,
    )


def last_line(run: "subprocess.CompletedProcess[str]") -> str:
    lines = run.stderr.strip().splitlines()
    assert "Traceback" not in run.stderr, run.stderr
    return lines[-1] if lines else ""


def is_refused(run: "subprocess.CompletedProcess[str]", *told: object) -> None:
    """One line, with these in it."""
    assert 1 == run.returncode, run.stderr
    assert 1 == len(run.stderr.strip().splitlines()), run.stderr
    assert [] == [part for part in told if str(part) not in last_line(run)], run.stderr


def nothing_was_begun(data: Path) -> None:
    assert not (data / "postgres").exists()
    assert not (data / "system.json").exists()
    assert [] == [*data.glob("secrets/*"), *data.glob("logs/*")]
    assert [] == processes_of(data)


@pytest.mark.parametrize("flag", ["grpc", "http", "sql", "touchpoint", "scoring"])
def test_up_on_a_port_in_use_names_port_and_option(tmp_path: Path, taken: int, flag: str) -> None:
    run = up(tmp_path / "data", f"--{flag}-port", taken)

    is_refused(run, f"port {taken}", "in use", f"--{flag}-port")
    nothing_was_begun(tmp_path / "data")


def test_up_with_one_port_given_twice_names_both_options(tmp_path: Path) -> None:
    port = free_port()

    run = up(tmp_path / "data", "--grpc-port", port, "--http-port", port)

    assert (2, True, True) == (
        run.returncode,
        f"port {port}" in last_line(run),
        "--grpc-port, --http-port" in last_line(run),
    )
    nothing_was_begun(tmp_path / "data")


def test_after_a_refused_start_the_folder_can_be_used(tmp_path: Path, taken: int) -> None:
    is_refused(up(tmp_path / "data", "--grpc-port", taken), "in use")

    with running_up(tmp_path) as started:
        assert [] == started.scores()


def test_a_second_up_in_the_same_folder_leaves_the_first_alone(system: Up) -> None:
    before = system.addresses

    run = up(system.data)

    is_refused(run, system.data, "in use", f"process {system.process.pid}")
    assert (before, None) == (system.addresses, system.process.poll())


@pytest.mark.parametrize(
    ("name", "variable"),
    [
        ("touchpoint", "LISTEN"),
        ("scoring", "LISTEN"),
        ("gateway", "LISTEN"),
        ("gateway", "HTTP_LISTEN"),
    ],
)
def test_a_service_on_a_port_in_use_names_it(
    new_database: Callable[[str], str], tmp_path: Path, taken: int, name: str, variable: str
) -> None:
    (tmp_path / "secret").write_text("17" * 32)
    free = {"LISTEN": f"127.0.0.1:{free_port()}", "HTTP_LISTEN": f"127.0.0.1:{free_port()}"}
    address = f"127.0.0.1:{taken}"

    run = service(
        name,
        **free | {variable: address},
        DATABASE_URL=new_database(name),
        SECRET_KEY_FILE=str(tmp_path / "secret"),
    )

    assert 1 == run.returncode, run.stderr
    assert [] == [each for each in (name, address, "want a free") if each not in last_line(run)]


def test_a_data_folder_that_may_not_be_written_is_named(
    as_nobody_special: AsNobodySpecial, tmp_path: Path
) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o500)

    run = subprocess.run(
        as_nobody_special(
            [sys.executable, "-m", "services.cli", "up", "--data", closed / "data", *FREE_PORTS]
        ),
        cwd="/",
        env=environment(),
        capture_output=True,
        text=True,
        timeout=EXIT_SECONDS_MAX,
        check=False,
    )

    is_refused(run, closed / "data", "cannot be written", "Permission denied", "--data")
    assert [] == [*closed.iterdir(), *processes_of(closed)]


@pytest.mark.parametrize("place", ["file", "below a file", "/proc/touchledger"])
def test_a_data_folder_that_cannot_be_is_named(tmp_path: Path, place: str) -> None:
    file = tmp_path / "file"
    file.write_text("in the way")
    data = {"file": file, "below a file": file / "data"}.get(place, Path(place))

    run = touchledger("up", "--data", data, *FREE_PORTS, folder=tmp_path)

    is_refused(run, data, "cannot be written", "--data")
    assert "in the way" == file.read_text()
    assert [] == processes_of(data)


def test_up_refuses_an_older_server_and_makes_nothing_in_it(
    old_postgres: str, tmp_path: Path
) -> None:
    run = up(tmp_path / "data", TOUCHLEDGER_DATABASE_URL=old_postgres)

    is_refused(run, "PostgreSQL", "version 16", "want 18 or newer")
    nothing_was_begun(tmp_path / "data")
    nothing_was_made(old_postgres)


@pytest.mark.parametrize("name", ["touchpoint", "scoring", "gateway"])
def test_a_service_refuses_an_older_server_and_makes_nothing_in_it(
    old_postgres: str, tmp_path: Path, name: str
) -> None:
    (tmp_path / "secret").write_text("17" * 32)

    run = service(
        name,
        DATABASE_URL=old_postgres,
        LISTEN=f"127.0.0.1:{free_port()}",
        HTTP_LISTEN=f"127.0.0.1:{free_port()}",
        SECRET_KEY_FILE=str(tmp_path / "secret"),
        LOCAL_KEY_FILE=str(tmp_path / "local.key"),
    )

    is_refused(run, name, "version 16", "want 18 or newer")
    assert ["secret"] == [each.name for each in tmp_path.iterdir()]
    nothing_was_made(old_postgres)


def nothing_was_made(url: str) -> None:
    with psycopg.connect(url) as session:
        made = session.execute(
            "SELECT rolname::text FROM pg_roles WHERE rolname !~ '^pg_' AND rolname <> %s "
            "UNION ALL SELECT datname FROM pg_database "
            "WHERE datname NOT IN ('postgres', 'template0', 'template1') "
            "UNION ALL SELECT relname FROM pg_class WHERE oid >= 16384 "
            "UNION ALL SELECT nspname FROM pg_namespace WHERE oid >= 16384",
            (ADMIN,),
        ).fetchall()
    assert [] == made
