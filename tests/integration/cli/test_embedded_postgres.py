"""The embedded PostgreSQL starts on its folder whatever happened before, and leaves nothing behind."""

import asyncio
import contextlib
import os
import select
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import asyncpg
import psutil
import pytest

from services.cli import embedded_postgres
from services.cli.data_folder import LaunchError, LogFile
from services.cli.embedded_postgres import EmbeddedPostgres

NOBODY = 65534
DEADLINE_SECONDS = 30
SESAME = "open-sesame"
as_root_only = pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become another user")

# A launcher in a process of its own: says that it is ready, and lives until it is killed.
LAUNCHER = """
import sys
from pathlib import Path
from services.cli.data_folder import LogFile
from services.cli.embedded_postgres import EmbeddedPostgres

folder = Path(sys.argv[1])
server = EmbeddedPostgres(
    folder, log=LogFile(folder.with_suffix(".log")), password="open-sesame", port=int(sys.argv[2])
)
server.start()
print("ready", flush=True)
sys.stdin.read()
server.stop()
"""

Make = Callable[..., EmbeddedPostgres]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    """Makes servers and stops them."""
    made: list[EmbeddedPostgres] = []

    def server(folder: Path = tmp_path / "postgres") -> EmbeddedPostgres:
        log = LogFile(folder.with_suffix(".log"))
        made.append(EmbeddedPostgres(folder, log=log, password=SESAME, port=free_port()))
        return made[-1]

    yield server
    for each in made:
        each.stop()


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every user may pass through, which pytest's own are not."""
    with tempfile.TemporaryDirectory(prefix="touchledger-") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def query(server: EmbeddedPostgres, sql: str) -> Any:
    async def ask() -> Any:
        connection = await asyncpg.connect(server.admin_url)
        try:
            return await connection.fetchval(sql)
        finally:
            await connection.close()

    return asyncio.run(ask())


def postmaster(folder: Path) -> psutil.Process:
    return psutil.Process(int((folder / "postmaster.pid").read_text().split()[0]))


def ends(process: psutil.Process) -> bool:
    """Waits for it; also sees an end of which nobody has collected the exit code yet."""
    try:
        descriptor = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([descriptor], [], [], DEADLINE_SECONDS)[0])
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def launcher(
    folder: Path, *, python: str = sys.executable, user: int | None = None
) -> Iterator[subprocess.Popen[str]]:
    command = [python, "-c", LAUNCHER, str(folder), str(free_port())]
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd="/",
        user=user,
        group=user,
        extra_groups=None if user is None else [],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        try:
            yield process
        finally:
            process.kill()


def test_it_is_postgresql_18_durable_and_checksummed(make: Make) -> None:
    server = make()
    server.start()

    shown = {
        name: query(server, f"SHOW {name}")
        for name in ("fsync", "full_page_writes", "synchronous_commit", "data_checksums")
    }

    assert set(shown.values()) == {"on"}
    assert query(server, "SHOW server_version_num").startswith("18")


def test_it_listens_on_loopback_alone_and_wants_a_password(make: Make, tmp_path: Path) -> None:
    server = make()
    server.start()

    process = postmaster(tmp_path / "postgres")
    listening = [c.laddr.ip for c in process.net_connections() if c.status == "LISTEN"]
    local = [c for c in process.net_connections(kind="unix") if c.laddr]

    assert (listening, local) == (["127.0.0.1"], [])
    with pytest.raises(asyncpg.InvalidPasswordError):
        asyncio.run(asyncpg.connect(server.admin_url.replace(SESAME, "guess")))


def test_the_password_is_in_no_file(make: Make, tmp_path: Path) -> None:
    make().start()

    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    holding = [path for path in files if SESAME.encode() in path.read_bytes()]

    assert holding == []


def test_a_second_start_finds_what_the_first_has_stored(make: Make) -> None:
    first, second = make(), make()
    first.start()
    query(first, "CREATE TABLE kept AS SELECT 7 AS value")
    first.stop()

    second.start()

    assert query(second, "SELECT value FROM kept") == 7


def test_a_folder_with_spaces_and_foreign_letters_will_do(make: Make, tmp_path: Path) -> None:
    folder = tmp_path / "Käse & 顧客 'x'"
    folder.mkdir()
    server = make(folder / "postgres")

    server.start()

    assert query(server, "SELECT 1") == 1


def test_it_starts_after_everything_was_killed(make: Make, tmp_path: Path) -> None:
    first, second = make(), make()
    first.start()
    query(first, "CREATE TABLE kept AS SELECT 7 AS value")
    process = postmaster(tmp_path / "postgres")
    for each in [process, *process.children()]:
        # PostgreSQL's own processes end when they miss the first.
        with contextlib.suppress(psutil.NoSuchProcess):
            each.kill()
    # Dead and not collected, as in a container whose first process collects nobody: PostgreSQL
    # itself would take the number in its pid file for a living server.
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)

    second.start()

    assert query(second, "SELECT value FROM kept") == 7


def test_a_pid_file_that_names_a_stranger_is_no_hindrance(make: Make, tmp_path: Path) -> None:
    first, second = make(), make()
    first.start()
    pid_file = tmp_path / "postgres" / "postmaster.pid"
    lines = pid_file.read_text().splitlines()
    first.stop()
    # After a reboot the number may be anyone's; PostgreSQL itself would refuse to start.
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as stranger:
        pid_file.write_text("\n".join([str(stranger.pid), *lines[1:]]) + "\n")

        second.start()

        assert stranger.poll() is None


def test_no_backend_outlives_a_killed_postmaster(make: Make, tmp_path: Path) -> None:
    server = make()
    server.start()
    process = postmaster(tmp_path / "postgres")
    children = process.children()
    process.kill()
    # Waits without collecting it, which is the server object's to do.
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)

    assert "killed by SIGKILL" in str(server.failure())
    server.stop()

    assert all(ends(child) for child in children)


def test_it_ends_with_a_killed_launcher(tmp_path: Path) -> None:
    folder = tmp_path / "postgres"
    with launcher(folder) as process:
        server = postmaster(folder)
        process.kill()

        assert ends(server)

    assert not (folder / "postmaster.pid").exists(), "it was shut down, not cut off"


def test_a_server_that_still_runs_in_the_folder_is_stopped_first(
    make: Make, tmp_path: Path
) -> None:
    left, server = make(), make()
    left.start()
    before = postmaster(tmp_path / "postgres")

    server.start()

    assert ends(before)
    assert query(server, "SELECT 1") == 1


def test_an_interrupted_initdb_leaves_nothing_half_done(make: Make, tmp_path: Path) -> None:
    folder = tmp_path / "postgres"

    def interrupt_midway(seconds: float) -> None:
        if (tmp_path / "postgres.new" / "base").exists():
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make().start(interrupt_midway)

    assert sorted(path.name for path in tmp_path.iterdir()) == ["postgres.log"]
    server = make(folder)
    server.start()
    assert query(server, "SELECT 1") == 1


def test_what_a_killed_initdb_left_is_cleared_away(make: Make, tmp_path: Path) -> None:
    (tmp_path / "postgres.new" / "base").mkdir(parents=True)
    server = make()

    server.start()

    assert query(server, "SELECT 1") == 1
    assert not (tmp_path / "postgres.new").exists()


def test_a_cluster_of_another_version_is_refused(make: Make, tmp_path: Path) -> None:
    folder = tmp_path / "postgres"
    folder.mkdir()
    (folder / "PG_VERSION").write_text("17\n")

    with pytest.raises(LaunchError, match="made by PostgreSQL 17, want 18"):
        make().start()


def test_a_folder_that_is_no_cluster_is_refused_and_left_alone(make: Make, tmp_path: Path) -> None:
    folder = tmp_path / "postgres"
    folder.mkdir()
    (folder / "letters.txt").write_text("dear")

    with pytest.raises(LaunchError, match="no readable PG_VERSION"):
        make().start()

    assert [path.name for path in folder.iterdir()] == ["letters.txt"]


def test_a_taken_port_is_told_with_the_servers_own_words(make: Make) -> None:
    first, second = make(), make()
    first.start()
    second._port = first._port  # as if it had been taken after the check
    second._folder = first._folder.with_name("other")

    with pytest.raises(LaunchError, match="Address already in use"):
        second.start()


@as_root_only
def test_as_root_the_files_stay_roots_and_no_folder_is_opened(make: Make, tmp_path: Path) -> None:
    if not embedded_postgres.user_namespace_works():
        pytest.skip("user namespaces are refused here")
    tmp_path.chmod(0o700)

    make().start()

    assert (tmp_path / "postgres").stat().st_uid == 0
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o700


@as_root_only
def test_without_user_namespaces_root_starts_it_as_nobody(
    make: Make, open_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data_folder = open_folder / "data"
    data_folder.mkdir(mode=0o700)
    first, second = make(data_folder / "postgres"), make(data_folder / "postgres")
    with monkeypatch.context() as refused:
        refused.setattr(embedded_postgres, "user_namespace_works", lambda: False)
        first.start()
        assert query(first, "SELECT 1") == 1
        assert postmaster(data_folder / "postgres").uids().effective == NOBODY
        first.stop()

    # The next start follows the owner, although namespaces work by then.
    second.start()

    assert postmaster(data_folder / "postgres").uids().effective == NOBODY
    assert stat.S_IMODE(data_folder.stat().st_mode) == 0o701


@as_root_only
def test_without_user_namespaces_a_closed_folder_is_an_error_and_stays_as_it_was(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "closed" / "data").mkdir(parents=True)
    (tmp_path / "closed").chmod(0o700)
    (tmp_path / "closed" / "data").chmod(0o700)
    monkeypatch.setattr(embedded_postgres, "user_namespace_works", lambda: False)

    with pytest.raises(LaunchError, match=f"closed to user {NOBODY}, .* TOUCHLEDGER_DATABASE_URL"):
        make(tmp_path / "closed" / "data" / "postgres").start()

    assert list((tmp_path / "closed" / "data").iterdir()) == []
    assert stat.S_IMODE((tmp_path / "closed" / "data").stat().st_mode) == 0o700


@as_root_only
def test_an_ordinary_user_can_start_it(open_folder: Path) -> None:
    python = next(filter(open_to_nobody, (sys.executable, "/usr/bin/python3")), None)
    if python is None:
        pytest.skip("every Python 3.11, or this source, is closed to other users")
    home = open_folder / "home"
    home.mkdir(mode=0o700)
    shutil.chown(home, NOBODY, NOBODY)

    with launcher(home / "postgres", python=python, user=NOBODY) as process:
        server = postmaster(home / "postgres")
        assert server.uids().effective == NOBODY
        process.send_signal(signal.SIGKILL)
        assert ends(server)


def open_to_nobody(python: str) -> bool:
    """Whether user nobody can run the launcher with it: root's own Python often is closed to others."""
    try:
        check = subprocess.run(
            [python, "-c", "import services.cli.embedded_postgres"],
            user=NOBODY,
            group=NOBODY,
            extra_groups=[],
            cwd="/",
            env={"PYTHONPATH": os.pathsep.join(sys.path)},
            check=False,
            capture_output=True,
        )
    except OSError:
        return False
    return check.returncode == 0
