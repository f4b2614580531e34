"""The TCP connections under a gRPC server, one by one: who is at the other end, and how to hang up.

gRPC ends them only together with the whole server, and gives no handle to them, so they are found by the port
that they came in at.
"""

import fcntl
import ipaddress
import os
import socket
import struct
import sys
import termios
from collections.abc import Container, Iterator
from urllib.parse import unquote

# Address and port of the other end.
Peer = tuple[str, int]
# Linux and macOS: the open files of this process.
OPEN_FILES = "/dev/fd"
# Of Linux's struct tcp_info: where tcpi_bytes_acked begins, and ends.
ACKED_OFFSET, ACKED_END = 120, 128


def peer_of(told: str) -> Peer:
    """From what gRPC says of a call: "ipv4:192.0.2.1:50000" or "ipv6:%5B2001:db8::1%5D:50000"."""
    host, _, port = unquote(told).partition(":")[2].rpartition(":")
    return _plain(host.strip("[]")), int(port)


class Connections:
    """Those that came in at a port, when no calls are let in any more."""

    def __init__(self, port: int) -> None:
        self._port = port
        # Bytes since its begin that are to arrive before a connection is ended.
        self._owed: dict[Peer, int] = {}

    def stop_listening(self) -> None:
        """Who connects is refused by the system from now on, and finds another replica at once."""
        listening = [
            number
            for number, each in self._sockets()
            if each.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
        ]
        # One that nobody knows of takes the place, where accepting finds nobody; of a socket that was just
        # shut gRPC would log an error.
        with socket.create_server(("127.0.0.1", 0)) as unknown:
            unknown.setblocking(False)
            for number in listening:
                os.dup2(unknown.fileno(), number, inheritable=False)

    def hang_up(self, *, but: Container[Peer], at_once: bool = False) -> int:
        """Ends connections; returns how many are left.

        but: who waits for an answer that is not written yet. What is written to others arrives first, unless
        at_once: once it is ended, whatever they send makes the system drop what it still had for them.
        """
        left = 0
        for _, each in self._sockets():
            try:
                host, number = each.getpeername()[:2]
                peer = _plain(host), number
                if peer not in but and (at_once or self._arrived(peer, each)):
                    each.shutdown(socket.SHUT_RDWR)
                else:
                    left += 1
            except OSError:
                # Not connected, or not any more.
                continue
        return left

    def _arrived(self, peer: Peer, connection: socket.socket) -> bool:
        """Whatever was written when this was first asked; refusals that were written since don't count."""
        # In this order: what is acked in between is waited for twice rather than not at all.
        [on_its_way] = struct.unpack("i", fcntl.ioctl(connection, termios.TIOCOUTQ, bytes(4)))
        acked = _acked(connection)
        return not on_its_way or acked >= self._owed.setdefault(peer, acked + on_its_way)

    def _sockets(self) -> Iterator[tuple[int, socket.socket]]:
        """Each TCP socket of this process at the port: its number, and a duplicate of it.

        gRPC's threads close files at any moment, and the number may mean another one then; a duplicate stays.
        """
        for name in os.listdir(OPEN_FILES):
            try:
                duplicate = os.dup(int(name))
            except OSError:
                continue
            try:
                each = socket.socket(fileno=duplicate)
            except OSError:
                os.close(duplicate)
                continue
            with each:
                internet = each.family in (socket.AF_INET, socket.AF_INET6)
                tcp = internet and each.type == socket.SOCK_STREAM
                if tcp and each.getsockname()[1] == self._port:
                    yield int(name), each


def _acked(connection: socket.socket) -> int:
    """Bytes that the other end's system says it has; 0 where ours doesn't tell."""
    if sys.platform != "linux":
        return 0
    info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, ACKED_END)
    return int.from_bytes(info[ACKED_OFFSET:ACKED_END], sys.byteorder)


def _plain(host: str) -> str:
    """One spelling; IPv4 as such where a socket for both kinds took it in, as gRPC has it."""
    address = ipaddress.ip_address(host.partition("%")[0])
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return str(mapped or address)
