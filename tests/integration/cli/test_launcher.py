"""`touchledger up` leaves nothing behind, whoever is killed or interrupted and when; services are fake."""

import asyncio
import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from services.cli.databases import CONNECT_SECONDS_MAX
from services.cli.stop_signals import StopSignals
from tests.support.stack import free_port
from tests.support.up import FREE_PORTS, environment, processes_of, wait_for

SERVICE = Path(__file__).parents[2] / "support" / "fake_service.py"
END_SECONDS_MAX = 60.0
FLAGS = ("grpc", "http", "sql", "touchpoint", "scoring")

# The command itself, but for what it starts as services and how patient it is with them.
UP = f"""
import functools, os, sys
from services.cli import __main__, launcher, up

up.LauncherOptions = functools.partial(
    launcher.LauncherOptions,
    commands={{name: (sys.executable, {str(SERVICE)!r}, name) for name in launcher.START_ORDER}},
    ready_seconds_max=float(os.environ["READY_SECONDS"]),
    stop_seconds_max=float(os.environ["STOP_SECONDS"]),
)
__main__.main()
"""


class Launched:
    """A `touchledger up` on a data folder, under way."""

    def __init__(self, data: Path, output: Path, *options: str, **variables: str) -> None:
        self.data = data
        self._output = output
        patience = {"READY_SECONDS": "60", "STOP_SECONDS": "20"}
        with output.open("wb") as file:
            self.process = subprocess.Popen(
                [sys.executable, "-c", UP, "up", "--data", str(data), *options],
                stdout=file,
                stderr=file,
                env=environment(**patience | variables),
            )

    @property
    def told(self) -> str:
        return self._output.read_text()

    def wait_until(self, seen: Callable[[], bool], what: str) -> None:
        def seen_alive() -> bool:
            # Asked first: what is seen after its end is no moment of its life.
            code = self.process.poll()
            assert code is None, f"up ended with {code} before {what}: {self.told}"
            return seen()

        wait_for(seen_alive, what, seconds_max=END_SECONDS_MAX)

    def wait_until_told(self, text: str) -> None:
        self.wait_until(lambda: text in self.told, f"{text!r}")

    def wait_until_ready(self) -> None:
        self.wait_until_told("Ctrl-C stops it")

    def end(self) -> tuple[int, list[str]]:
        """Waits for it: exit code and all that was told."""
        code = self.process.wait(END_SECONDS_MAX)
        return code, self.told.splitlines()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def process_of(self, command: str) -> str:
        """The one process of the folder whose command line ends so."""
        [found] = [each for each in processes_of(self.data) if each.endswith(command)]
        return found


Launch = Callable[..., Launched]


def kill_9(process: str) -> None:
    """One of those that processes_of tells, its number first."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(int(process.split()[0]), signal.SIGKILL)


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Launched]:
    """The first start, in a folder whose name is asking for trouble; stopped when it was ready."""
    folder = tmp_path_factory.mktemp("first")
    launched = Launched(folder / "Käse & 顧客 'x'" / "data", folder / "up.log", *FREE_PORTS)
    try:
        launched.wait_until_ready()
        launched.process.terminate()
        launched.end()
        yield launched
    finally:
        launched.kill()


@pytest.fixture
def data(first: Launched) -> Path:
    """That folder with its cluster, which saves every test but one making its own."""
    return first.data


@pytest.fixture
def launch(tmp_path: Path) -> Iterator[Launch]:
    """Starts `up`; whatever a failed test leaves of it is ended."""
    made: list[Launched] = []

    def start(data: Path, *options: str, **variables: str) -> Launched:
        output = tmp_path / f"up-{len(made)}.log"
        made.append(Launched(data, output, *options or FREE_PORTS, **variables))
        return made[-1]

    yield start
    for each in made:
        each.kill()
        # Below the test's own folder; /proc/touchledger may stand in a stranger's command line.
        for left in processes_of(each.data) if each.data.is_dir() else ():
            kill_9(left)


def test_the_first_start_works_in_a_folder_with_spaces_and_foreign_letters(first: Launched) -> None:
    assert "Making a PostgreSQL cluster" in first.told
    # An address or a path on a line of its own is whole, however narrow the terminal is.
    assert f"  data, logs {first.data}" in first.told.splitlines()


def test_a_second_up_on_the_folder_is_refused_in_one_line_that_names_the_first(
    data: Path, launch: Launch
) -> None:
    up = launch(data)
    up.wait_until_ready()

    code, told = launch(data).end()

    assert (code, len(told)) == (1, 1), told
    assert f"in use by process {up.process.pid}" in told[0]
    up.process.terminate()
    assert up.end()[0] == 0, "the second has done the first no harm"


@pytest.mark.parametrize("order", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_and_sigterm_stop_all_and_leave_nothing(
    data: Path, launch: Launch, order: signal.Signals
) -> None:
    up = launch(data)
    up.wait_until_ready()

    up.process.send_signal(order)
    code, told = up.end()

    assert (code, told[-1]) == (0, "Stopped"), told
    assert processes_of(data) == []
    assert not (data / "system.json").exists()


def test_kill_9_of_the_launcher_leaves_nothing_running(data: Path, launch: Launch) -> None:
    up = launch(data)
    up.wait_until_ready()

    up.kill()

    wait_for(lambda: not processes_of(data), "end of all that it had started")


def test_it_starts_at_once_after_kill_9_on_the_ports_that_a_stubborn_service_still_holds(
    data: Path, launch: Launch
) -> None:
    ports = [text for flag in FLAGS for text in (f"--{flag}-port", str(free_port()))]
    killed = launch(data, *ports, FAKE_GATEWAY="stubborn")
    killed.wait_until_ready()
    stubborn = killed.process_of("fake_service.py gateway")

    killed.kill()
    assert stubborn in processes_of(data)
    again = launch(data, *ports, STOP_SECONDS="1")
    again.wait_until_ready()

    assert re.search(r"Ending \d process\(es\) that a killed launcher left behind", again.told)
    assert stubborn not in processes_of(data)


def test_it_starts_after_kill_9_of_everything(data: Path, launch: Launch) -> None:
    killed = launch(data)
    killed.wait_until_ready()
    for each in processes_of(data):
        kill_9(each)
    killed.end()

    again = launch(data)

    again.wait_until_ready()


def test_kill_9_of_the_postmaster_ends_all_and_is_told(data: Path, launch: Launch) -> None:
    up = launch(data)
    up.wait_until_ready()

    kill_9((data / "postgres" / "postmaster.pid").read_text())
    code, _ = up.end()

    assert code == 1
    assert "PostgreSQL ended unexpectedly (killed by SIGKILL), the end of" in up.told
    assert "database system is ready to accept connections" in up.told
    assert processes_of(data) == []


def test_kill_9_of_a_service_ends_all_and_is_told(data: Path, launch: Launch) -> None:
    up = launch(data)
    up.wait_until_ready()

    kill_9(up.process_of("fake_service.py scoring"))
    code, told = up.end()

    assert code == 1
    assert "scoring ended unexpectedly (killed by SIGKILL), the end of" in up.told
    # This run's lines alone, although the file holds those of earlier ones.
    assert told[-2:] == ["scoring begins", "scoring serves"]
    assert processes_of(data) == []


def test_a_service_that_dies_at_the_start_ends_it_with_its_last_words(
    data: Path, launch: Launch
) -> None:
    up = launch(data, FAKE_SCORING="die")

    code, told = up.end()

    assert code == 1
    assert "scoring ended unexpectedly (exit code 1), the end of" in up.told
    assert told[-1] == "I cannot go on: boom"
    assert processes_of(data) == []


def test_a_service_that_is_never_ready_ends_the_start(data: Path, launch: Launch) -> None:
    up = launch(data, FAKE_TOUCHPOINT="never", READY_SECONDS="1")

    code, _ = up.end()

    assert code == 1
    assert re.search(r"touchpoint: not ready at 127\.0\.0\.1:\d+ after 1 s, the end of", up.told)
    assert processes_of(data) == []


def test_a_stubborn_service_and_impatient_signals_cut_no_stop_short(
    data: Path, launch: Launch
) -> None:
    up = launch(data, FAKE_GATEWAY="stubborn", FAKE_SCORING="worker", STOP_SECONDS="2")
    up.wait_until_ready()

    up.process.send_signal(signal.SIGINT)
    up.wait_until_told("Stopping gateway")
    up.process.send_signal(signal.SIGINT)
    up.process.send_signal(signal.SIGTERM)
    code, told = up.end()

    assert (code, told[-1]) == (0, "Stopped"), told
    assert "gateway did not stop within 2 s and was killed" in up.told
    assert "Stopping PostgreSQL" in told
    assert processes_of(data) == []


MOMENTS: dict[str, Callable[[Launched], bool]] = {
    "the folder is locked": lambda up: (up.data / "lock").read_text() == f"{up.process.pid}\n",
    "the server starts": lambda up: "Starting PostgreSQL" in up.told,
    "the databases are prepared": lambda up: serves(up.data / "postgres" / "postmaster.pid"),
    "the services start": lambda up: "Starting the services" in up.told,
}


def serves(pid_file: Path) -> bool:
    return pid_file.exists() and "ready" in pid_file.read_text()


@pytest.mark.parametrize("moment", MOMENTS)
def test_an_interrupted_start_is_undone(data: Path, launch: Launch, moment: str) -> None:
    up = launch(data)

    up.wait_until(lambda: MOMENTS[moment](up), moment)
    up.process.send_signal(signal.SIGINT)
    code, told = up.end()

    assert (code, told[-1]) == (0, "Stopped"), told
    assert "Touchledger is ready" not in told
    assert processes_of(data) == []
    assert not (data / "system.json").exists()


def test_an_interrupted_first_start_leaves_no_half_a_cluster(
    tmp_path: Path, launch: Launch
) -> None:
    up = launch(tmp_path / "data")

    up.wait_until((tmp_path / "data" / "postgres.new" / "base").exists, "initdb")
    up.process.send_signal(signal.SIGTERM)
    code, told = up.end()

    assert (code, told[-1]) == (0, "Stopped"), told
    assert sorted(os.listdir(up.data)) == ["lock", "logs", "secrets"]
    assert processes_of(up.data) == []


def test_a_server_that_does_not_answer_does_not_hold_up_ctrl_c(
    tmp_path: Path, launch: Launch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.settimeout(END_SECONDS_MAX)
        url = f"postgresql://admin@127.0.0.1:{silent.getsockname()[1]}/postgres"
        up = launch(tmp_path / "data", TOUCHLEDGER_DATABASE_URL=url)
        with silent.accept()[0]:
            begin = time.monotonic()
            up.process.send_signal(signal.SIGINT)
            code, told = up.end()

    assert (code, told) == (0, ["Stopped"])
    assert time.monotonic() - begin < CONNECT_SECONDS_MAX / 2


def test_a_port_in_use_is_named_with_its_option_and_no_cluster_is_made(
    tmp_path: Path, launch: Launch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        up = launch(tmp_path / "data", *FREE_PORTS, "--http-port", str(port))
        code, told = up.end()

    assert code == 1
    assert told == [f"touchledger: port {port} (HTTP) is in use, want a free one: --http-port N"]
    assert sorted(os.listdir(up.data)) == ["lock", "logs", "secrets"]
    assert os.listdir(up.data / "secrets") == []


@pytest.mark.parametrize("place", ["{file}", "{file}/below", "/proc/touchledger"])
def test_a_folder_that_cannot_be_written_is_named_in_one_line(
    tmp_path: Path, launch: Launch, place: str
) -> None:
    file = tmp_path / "letter.txt"
    file.write_text("dear")
    data = place.format(file=file)

    code, told = launch(Path(data)).end()

    assert (code, len(told)) == (1, 1), told
    assert f"data folder {data}: cannot be written" in told[0]
    assert file.read_text() == "dear"


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (("--reporting-zone", "Mars/Olympus"), "reporting zone 'Mars/Olympus': unknown"),
        (("--reporting-zone", "../etc/passwd"), "reporting zone '../etc/passwd': unknown"),
        (
            ("--grpc-port", "7000", "--http-port", "7000"),
            "port 7000: given 2 times (--grpc-port, --http-port), want one each",
        ),
    ],
)
def test_a_bad_zone_and_equal_ports_are_usage_errors(
    tmp_path: Path, launch: Launch, options: tuple[str, ...], complaint: str
) -> None:
    code, told = launch(tmp_path / "data", *FREE_PORTS, *options).end()

    assert (code, len(told)) == (2, 1), told
    assert complaint in told[0]


def test_a_lost_gateway_key_beside_an_existing_database_is_refused(
    data: Path, launch: Launch
) -> None:
    key = data / "secrets" / "gateway.key"
    kept = key.rename(key.with_suffix(".kept"))

    try:
        code, told = launch(data).end()
        assert not key.exists(), "another key could read nothing of what the gateway has sealed"
    finally:
        kept.rename(key)

    assert code == 1
    assert f"touchledger: {key}: missing, want the secret that the existing database" in told[-1]
    assert processes_of(data) == []


def test_work_that_someone_else_cancels_is_no_request_to_stop() -> None:
    async def cancelled() -> None:
        raise asyncio.CancelledError

    signals = StopSignals()

    with signals, pytest.raises(asyncio.CancelledError):
        asyncio.run(signals.watch(cancelled()))


def test_a_signal_to_a_child_that_is_not_yet_its_program_is_no_request_to_stop() -> None:
    signals = StopSignals()

    with signals:
        subprocess.run(
            ["true"], check=True, preexec_fn=lambda: os.kill(os.getpid(), signal.SIGTERM)
        )
        answer = asyncio.run(signals.watch(asyncio.sleep(0.1, "undisturbed")))

    assert answer == "undisturbed"
