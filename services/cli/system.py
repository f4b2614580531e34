"""Finds a running system for every command, and opens a channel to it that never shows the key in clear.

Where `up` leaves its addresses is data_folder.py's; what is said over the channel is each command's.
"""

import ipaddress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, NoReturn

import grpc
import typer

from services.cli.data_folder import DEFAULT_DATA_FOLDER, DataFolder, LaunchError, RunningSystem
from services.cli.databases import OWNERS, role_url

# What `--data` is when nobody says: a folder of the working directory, as git has it.
DEFAULT_DATA = Path(DEFAULT_DATA_FOLDER)

DataOption = Annotated[
    Path,
    typer.Option(
        "--data",
        envvar="TOUCHLEDGER_DATA",
        metavar="DIR",
        help="The data folder of the system that `touchledger up` runs.",
    ),
]
TargetOption = Annotated[
    str | None,
    typer.Option(
        "--target",
        envvar="TOUCHLEDGER_TARGET",
        metavar="HOST:PORT",
        help="The gRPC address of a system that runs elsewhere; goes before --data. TLS unless loopback.",
    ),
]
KeyOption = Annotated[
    str | None,
    typer.Option(
        "--key",
        envvar="TOUCHLEDGER_KEY",
        metavar="KEY",
        show_envvar=True,
        help="The API key. The variable is better: other users can see arguments.",
    ),
]
CaOption = Annotated[
    Path | None,
    typer.Option(
        "--ca",
        envvar="TOUCHLEDGER_CA",
        metavar="FILE",
        help="PEM file of the authority that signed the target's certificate; default: the system's.",
    ),
]

JsonOption = Annotated[bool, typer.Option("--json", help="As JSON, with the names of the proto.")]

# Exit codes of the commands that talk to a system. 2 is what typer uses for bad usage.
EXIT_REFUSED = 1
EXIT_USAGE = 2
EXIT_UNREACHABLE = 3


class NoSystem(Exception):
    """There is no system to talk to, as one line for a person."""


@dataclass(frozen=True, slots=True)
class System:
    """Where a running system is, and the key that opens it."""

    target: str
    # Never in a traceback or a log.
    key: str = field(repr=False)

    @property
    def metadata(self) -> tuple[tuple[str, str], ...]:
        """Belongs to every call: `stub.PublishBatch(request, metadata=system.metadata, timeout=...)`."""
        return (("authorization", f"Bearer {self.key}"),)


def find(*, data: Path | None = None, target: str | None = None, key: str | None = None) -> System:
    """The system that the options name. A target goes before a data folder. Raises NoSystem."""
    if target:
        if not key:
            raise NoSystem(f"--target {target}: got no key, want --key or TOUCHLEDGER_KEY with it")
        return System(target, _usable(key, "--key"))
    folder = data or DEFAULT_DATA
    found = running(folder, otherwise=", or name one with --target and --key")
    if key:
        return System(found.grpc, _usable(key, "--key"))
    try:
        local_key = Path(found.key_file).read_text()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or type(error).__name__
        raise NoSystem(
            f"{found.key_file}: cannot be read ({reason}), want the key of the system in {folder}: "
            "ask as the user that started it, or give --key"
        ) from error
    return System(found.grpc, _usable(local_key, found.key_file))


def running(data: Path, *, otherwise: str = "") -> RunningSystem:
    """What runs on the data folder; `otherwise` tells of another way to name a system. Raises NoSystem."""
    try:
        found = DataFolder(data).running()
    except LaunchError as error:
        raise NoSystem(str(error)) from error
    if found is None:
        start = f"start one with `touchledger up --data {data}`"
        raise NoSystem(f"no running system in {data}: {start}{otherwise}")
    return found


def owner_url(data: Path, database: str, *, otherwise: str = "") -> str:
    """One of the databases of what runs on the data folder, as the role that owns it. Raises NoSystem."""
    found = running(data, otherwise=otherwise)
    role = OWNERS[database]
    try:
        password = DataFolder(data).password(role, must_exist=True)
    except LaunchError as error:
        raise NoSystem(str(error)) from error
    return role_url(found.sql, role=role, password=password, database=database)


def open_channel(system: System, *, ca: Path | None = None) -> grpc.aio.Channel:
    """A channel to the system: in clear on this machine alone, TLS to anywhere else. Raises NoSystem."""
    options: list[tuple[str, int]] = [
        # What the gateway sends at most; the default is half of it.
        ("grpc.max_receive_message_length", 8 * 1024 * 1024),
        # A system that was restarted is found within seconds rather than the default's two minutes.
        ("grpc.initial_reconnect_backoff_ms", 200),
        ("grpc.max_reconnect_backoff_ms", 2_000),
        # A peer that vanished without a word is noticed within 30 seconds of a call.
        ("grpc.keepalive_time_ms", 20_000),
        ("grpc.keepalive_timeout_ms", 10_000),
    ]
    if is_local(system.target) and ca is None:
        # With http_proxy in the environment gRPC would send even loopback calls, key and all, through it.
        options.append(("grpc.enable_http_proxy", 0))
        return grpc.aio.insecure_channel(system.target, options=options)
    try:
        roots = ca.read_bytes() if ca else None
    except OSError as error:
        raise NoSystem(f"--ca {ca}: cannot be read ({error.strerror}), want a PEM file") from error
    if roots is not None and b"-----BEGIN CERTIFICATE-----" not in roots:
        # gRPC would only say "handshake failed", and that on its own log.
        raise NoSystem(f"--ca {ca}: got a file without a certificate, want a PEM file")
    credentials = grpc.ssl_channel_credentials(root_certificates=roots)
    return grpc.aio.secure_channel(system.target, credentials, options=options)


def is_local(target: str) -> bool:
    """Whether what is sent there stays on this machine. Anything not plainly so is taken as remote."""
    if target.startswith("unix:"):
        return True
    for scheme in ("dns:///", "ipv4:", "ipv6:"):
        target = target.removeprefix(scheme)
    # "ipv4:127.0.0.1:1,10.0.0.1:1" is as far away as its farthest address.
    return all(map(_is_loopback, target.split(",")))


def _is_loopback(address: str) -> bool:
    host, colon, port = address.rpartition(":")
    if not colon or not port.isdecimal():
        return False
    if host.lower() == "localhost":
        return True
    bracketed = host.startswith("[") and host.endswith("]")
    if ":" in host and not bracketed:
        # gRPC reads "::1:50051" as one address without a port, and that is another machine.
        return False
    try:
        return ipaddress.ip_address(host[1:-1] if bracketed else host).is_loopback
    except ValueError:
        return False


def stop(message: str, exit_code: int) -> NoReturn:
    """Ends a command with one line for a person on stderr."""
    typer.echo(f"touchledger: {message}", err=True)
    raise typer.Exit(exit_code)


def _usable(key: str, name: str) -> str:
    key = key.strip()
    if not key or not key.isascii() or not key.isprintable() or " " in key:
        # gRPC would refuse the header with a message about metadata that helps nobody.
        raise NoSystem(f"{name}: got no key, want printable ASCII text without spaces")
    return key
