"""Runs PostgreSQL's own programs out of the wheel against a server: no password in their arguments."""

import os
import signal
import subprocess
from collections.abc import Sequence
from urllib.parse import unquote, urlsplit, urlunsplit

from services.cli.child import becoming
from services.cli.data_folder import LaunchError
from services.cli.embedded_postgres import program

CONNECT_SECONDS_MAX = 10
# A copy of a terabyte over a gigabit takes three hours.
TOOL_SECONDS_MAX = 24 * 3600.0
LINES_TOLD_MAX = 5


def connection(url: str) -> tuple[str, dict[str, str]]:
    """The URL without its password, and the environment that brings it."""
    parts = urlsplit(url)
    user = parts.netloc.rpartition("@")[0].partition(":")[0]
    server = parts.netloc.rpartition("@")[2]
    shown = urlunsplit(parts._replace(netloc=f"{user}@{server}" if user else server))
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("PG", "LC_"))}
    environment |= {"PGCONNECT_TIMEOUT": f"{CONNECT_SECONDS_MAX}", "LC_ALL": "C"}
    if parts.password:
        environment["PGPASSWORD"] = unquote(parts.password)
    return shown, environment


def run(name: str, *arguments: str, url: str) -> None:
    """To its end. Raises LaunchError with the last that it said."""
    shown, environment = connection(url)
    with subprocess.Popen(
        tool(name, *arguments, f"--dbname={shown}"),
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        start_new_session=True,
    ) as process:
        try:
            _, errors = process.communicate(timeout=TOOL_SECONDS_MAX)
        except BaseException:
            # With its children: what streams the log for pg_basebackup would go on without it, for ever.
            os.killpg(process.pid, signal.SIGKILL)
            raise
    if process.returncode:
        said = "\n".join(errors.splitlines()[-LINES_TOLD_MAX:])
        raise LaunchError(f"{name}: failed with exit code {process.returncode}:\n{said}")


def tool(name: str, *arguments: str) -> Sequence[str]:
    """The command line of a program that dies with this process."""
    return becoming([program(name), *arguments], dies_by=signal.SIGTERM)
