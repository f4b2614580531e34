"""Posts to a webhook: signed, to the address that was checked and no other, within a deadline.

By hand on asyncio's streams. It takes one request and the status of its answer; a client library would
resolve the name a second time (and could be sent elsewhere), follow redirects, or wait as long as bytes drip.
"""

import asyncio
import base64
import hmac
import ipaddress
import json
import re
import socket
import ssl
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from services.chassis.postgres import Unsuitable

ATTEMPT_SECONDS_MAX = 10.0
# Of the head of an answer; its body is not read.
HEAD_BYTES_MAX = 16 * 1024
INTERIM_ANSWERS_MAX = 3
SECRET_BYTES_MIN, SECRET_BYTES_MAX = 24, 64
# Names are looked up in threads, and one that nobody answers for takes half a minute, whatever was given up
# meanwhile. In the loop's own threads that would keep the projection from reading its pages.
LOOK_UPS_MAX = 4
look_ups = ThreadPoolExecutor(LOOK_UPS_MAX, thread_name_prefix="look up webhook")
URL = re.compile(r"https?://[\x21-\x7e]{1,2000}", re.ASCII)
STATUS = re.compile(rb"HTTP/1\.[01] (\d{3})[ \r]")


class Failed(Exception):
    """What came instead of a status 2xx, in a few words without addresses."""


@dataclass(frozen=True, slots=True)
class Webhook:
    url: str
    # Never in a traceback or a log.
    secret: bytes = field(repr=False)


def read_webhooks(file: Path | None) -> dict[str, Webhook]:
    """By tenant: {"TENANT": {"url": "https://…", "secret": "whsec_…"}}. Ends the process on anything else."""
    if file is None:
        return {}
    want = '{"TENANT": {"url": "https://…", "secret": "whsec_" and the base64 of 24 to 64 bytes}}'
    try:
        given = json.loads(file.read_text())
        return {tenant: _webhook(**of) for tenant, of in given.items()}
    except OSError as error:
        raise Unsuitable(f"scoring: alert_webhooks_file {file}: {error.strerror}") from None
    except (ValueError, TypeError, AttributeError):
        # Its text may quote a secret.
        raise Unsuitable(f"scoring: alert_webhooks_file {file}: want {want}") from None


def _webhook(*, url: str, secret: str) -> Webhook:
    prefix, _, encoded = secret.partition("_")
    key = base64.b64decode(encoded, validate=True)
    if prefix != "whsec" or not SECRET_BYTES_MIN <= len(key) <= SECRET_BYTES_MAX:
        raise ValueError
    parts = urlsplit(url)
    if (
        not URL.fullmatch(url)
        or not parts.hostname
        or parts.username is not None
        or parts.fragment
        or parts.port == 0
        # What the look-up would refuse later: a label of more than 63 characters, or an empty one.
        or not parts.hostname.encode("idna")
        or (parts.scheme != "https" and not _is_loopback(parts.hostname))
    ):
        raise ValueError
    return Webhook(url, key)


async def post(
    webhook: Webhook, *, message_id: str, body: bytes, seconds: int, private_addresses: bool
) -> str:
    """The status, such as "status 204". Raises Failed where it is none of 2xx. seconds: of now, is signed."""
    parts = urlsplit(webhook.url)
    try:
        async with asyncio.timeout(ATTEMPT_SECONDS_MAX):
            address = await _address(parts, private_addresses=private_addresses)
            reader, writer = await asyncio.open_connection(
                address,
                _port(parts),
                ssl=ssl.create_default_context() if parts.scheme == "https" else None,
                server_hostname=parts.hostname if parts.scheme == "https" else None,
                limit=HEAD_BYTES_MAX,
            )
            try:
                writer.write(_request(parts, webhook, message_id, body, seconds))
                await writer.drain()
                status = await _status(reader)
            finally:
                writer.transport.abort()
    except TimeoutError:
        raise Failed(f"no answer within {ATTEMPT_SECONDS_MAX:.0f} s") from None
    except ssl.SSLCertVerificationError:
        raise Failed("no valid certificate") from None
    except socket.gaierror:
        raise Failed("no address of that name") from None
    except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError) as error:
        raise Failed(f"no connection, or no answer ({type(error).__name__})") from None
    if not 200 <= status < 300:
        raise Failed(f"status {status}")
    return f"status {status}"


def signature(secret: bytes, message_id: str, seconds: int, body: bytes) -> str:
    """As the Standard Webhooks convention has it."""
    signed = hmac.digest(secret, f"{message_id}.{seconds}.".encode() + body, "sha256")
    return f"v1,{base64.b64encode(signed).decode()}"


async def _address(parts: SplitResult, *, private_addresses: bool) -> str:
    """Where the name leads; the connection goes there and the name is not looked up again."""
    assert parts.hostname is not None
    found = await asyncio.get_running_loop().run_in_executor(
        look_ups,
        partial(socket.getaddrinfo, parts.hostname, _port(parts), type=socket.SOCK_STREAM),
    )
    addresses = [str(each[4][0]) for each in found]
    allowed = [
        address
        for address in addresses
        if is_public(address)
        or private_addresses
        or (_is_loopback(parts.hostname) and _is_loopback(address))
    ]
    if not allowed or len(allowed) < len(addresses):
        raise Failed("its name leads to an address that is not public")
    return allowed[0]


def is_public(address: str) -> bool:
    parsed = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(parsed, ipaddress.IPv6Address):
        # What stands for an IPv4 address is as public as that.
        inner = parsed.ipv4_mapped or parsed.sixtofour
        if inner is not None:
            return is_public(str(inner))
        if parsed in NAT64:
            return is_public(str(ipaddress.IPv4Address(int(parsed) & 0xFFFFFFFF)))
        return parsed.is_global and parsed in GLOBAL_UNICAST
    return parsed.is_global and not parsed.is_multicast


NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
# All that IPv6 routes between networks. What else is not said to be private may lead inside all the same:
# site-local addresses, a network's own NAT64, and older forms of IPv4 addresses.
GLOBAL_UNICAST = ipaddress.IPv6Network("2000::/3")


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        return False


def _port(parts: SplitResult) -> int:
    return parts.port or (443 if parts.scheme == "https" else 80)


def _request(
    parts: SplitResult, webhook: Webhook, message_id: str, body: bytes, seconds: int
) -> bytes:
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    head = "\r\n".join(
        (
            f"POST {target} HTTP/1.1",
            f"Host: {parts.netloc}",
            "User-Agent: touchledger",
            "Content-Type: application/json",
            f"Content-Length: {len(body)}",
            f"webhook-id: {message_id}",
            f"webhook-timestamp: {seconds}",
            f"webhook-signature: {signature(webhook.secret, message_id, seconds, body)}",
            "Connection: close",
            "\r\n",
        )
    )
    return head.encode("ascii") + body


async def _status(reader: asyncio.StreamReader) -> int:
    for _ in range(INTERIM_ANSWERS_MAX):
        head = await reader.readuntil(b"\r\n\r\n")
        match = STATUS.match(head)
        if match is None:
            raise Failed("an answer that is no HTTP/1.1")
        status = int(match[1])
        if not 100 <= status < 200:
            return status
    raise Failed("interim answers alone")
