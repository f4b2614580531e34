"""Signed checkpoints: where the journal ended and its chain there, to be kept where its database has no say.

A checkpoint is a C2SP signed note (c2sp.org/signed-note) of the form of c2sp.org/tlog-checkpoint:

    touchledger/journal/JOURNAL_ID      origin, and name of the key
    POSITION
    CHAIN IN BASE64

    — touchledger/journal/JOURNAL_ID BASE64 OF KEY ID AND ED25519 SIGNATURE

The third line is the chain of seal.py, not an RFC 6962 root: what else reads notes can check the signature,
and `verify` the journal.
"""

import asyncio
import base64
import hashlib
import os
import stat
import tempfile
import threading
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import structlog
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from services.chassis.errors import Corrupt, place_of
from services.chassis.postgres import Pool, Unsuitable
from services.touchpoint.settings import Settings

log = structlog.get_logger()

T = TypeVar("T")

ORIGIN = "touchledger/journal/"
SUFFIX = ".checkpoint"
SIGNATURE_LINE = "— "
ED25519 = b"\x01"
KEY_ID_BYTES = 4
# A note has up to 16 signatures, of which the largest that are in use (ML-DSA) take 5 kB each.
NOTE_BYTES_MAX = 128 * 1024
# Digits of the largest position, so that names sort as positions do.
POSITION_DIGITS = 19
# Reading the head takes a millisecond, a connection is free within seconds.
LOOK_SECONDS_MAX = 30.0
# A folder of a year's checkpoints, one each ten minutes, is listed within a second.
FOLDER_SECONDS_MAX = 60.0

HEAD = """
SELECT head.journal_id, head.position, head.chain, seals.chain AS sealed
  FROM journal.head LEFT JOIN journal.seals ON seals.last_position = head.position
"""
CHAIN_AT = "SELECT chain FROM journal.seals WHERE last_position = $1"


class Checkpoint(NamedTuple):
    # Of the file.
    name: str
    journal_id: str
    position: int
    chain: bytes


class Refused(Exception):
    """A checkpoint or key that can't be used, as one line for a person."""


def sign(key: Ed25519PrivateKey, *, journal_id: str, position: int, chain: bytes) -> str:
    """The note. The same for the same head: Ed25519 needs no random numbers."""
    origin = ORIGIN + journal_id
    text = f"{origin}\n{position}\n{base64.b64encode(chain).decode()}\n"
    signature = _key_id(origin, key.public_key()) + key.sign(text.encode())
    return f"{text}\n{SIGNATURE_LINE}{origin} {base64.b64encode(signature).decode()}\n"


def parse(note: str, *, name: str) -> Checkpoint:
    """What a note says, whoever has signed it."""
    text, _, signatures = note.rpartition("\n\n")
    lines = text.split("\n")
    try:
        origin, position, chain = lines
        checkpoint = Checkpoint(
            name,
            origin.removeprefix(ORIGIN),
            int(position),
            base64.b64decode(chain, validate=True),
        )
    except ValueError:
        raise Refused(f"{name}: got no checkpoint, want a signed note of three lines") from None
    if not origin.startswith(ORIGIN) or not signatures:
        raise Refused(f"{name}: got no signed checkpoint of a journal, want origin {ORIGIN}…")
    if position != str(checkpoint.position) or checkpoint.position < 1:
        raise Refused(f"{name}: got position {position!r}, want a number from 1 on")
    return checkpoint


def read_all(path: Path, public_key: Ed25519PublicKey) -> list[Checkpoint]:
    """The checkpoint in the file, or all of the folder, each with a valid signature. Raises Refused."""
    try:
        files = sorted(path.glob(f"*{SUFFIX}")) if path.is_dir() else [path]
        if not files:
            raise Refused(f"{path}: got no file *{SUFFIX}, want one at least")
        return [_read(file, public_key) for file in files]
    except OSError as error:
        raise Refused(f"{error.filename}: {error.strerror}, want a checkpoint") from None


def read_public_key(file: Path) -> Ed25519PublicKey:
    try:
        key = serialization.load_pem_public_key(file.read_bytes())
    except (OSError, ValueError, UnsupportedAlgorithm) as error:
        raise Refused(
            f"{file}: {type(error).__name__}, want an Ed25519 public key as PEM"
        ) from None
    if not isinstance(key, Ed25519PublicKey):
        raise Refused(f"{file}: got another kind of key, want an Ed25519 public key")
    return key


def read_private_key(file: Path) -> Ed25519PrivateKey:
    want = "want an Ed25519 private key as PEM: openssl genpkey -algorithm ed25519"
    try:
        mode = stat.S_IMODE(file.stat().st_mode)
        key = serialization.load_pem_private_key(file.read_bytes(), password=None)
    except (OSError, ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise Unsuitable(f"checkpoint_key_file {file}: {type(error).__name__}, {want}") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise Unsuitable(f"checkpoint_key_file {file}: got another kind of key, {want}")
    # The group may read: that is how Kubernetes shows a secret to a process that is not root.
    if mode & stat.S_IRWXO:
        raise Unsuitable(
            f"checkpoint_key_file {file}: got mode {mode:o}, want none for others: 600"
        )
    return key


class FolderThread:
    """Work on a folder that may hang for ever: then one thread does, and no end of the process waits for it.

    The threads of asyncio.to_thread are waited for at the end.
    """

    def __init__(self) -> None:
        self._last: Future[Any] | None = None

    async def run(self, work: Callable[[], T]) -> T:
        if self._last is not None and not self._last.done():
            raise TimeoutError("the folder still hangs")
        done = Future[T]()
        # From here on it can't be cancelled: only its own thread ends it.
        done.set_running_or_notify_cancel()

        def run() -> None:
            try:
                done.set_result(work())
            except BaseException as error:
                done.set_exception(error)

        threading.Thread(target=run, name="checkpoint folder", daemon=True).start()
        self._last = done
        async with asyncio.timeout(FOLDER_SECONDS_MAX):
            return await asyncio.wrap_future(done)


class Exporter:
    """Writes a checkpoint whenever the head has moved. What goes wrong is logged and tried again."""

    def __init__(
        self, pool: Pool, *, folder: Path, key: Ed25519PrivateKey, every_seconds: float
    ) -> None:
        self._pool = pool
        self._folder = folder
        self._key = key
        self._every_seconds = every_seconds
        self._folder_thread = FolderThread()
        self._newest: Checkpoint | None = None

    @classmethod
    def configured(cls, pool: Pool, settings: Settings) -> "list[Exporter]":
        """None or one, as the settings say. Ends the process on settings that it can't do its work with."""
        folder, key_file = settings.checkpoint_folder, settings.checkpoint_key_file
        if folder is None and key_file is None:
            return []
        if folder is None or key_file is None:
            raise Unsuitable(
                "touchpoint: want checkpoint_folder and checkpoint_key_file, or neither"
            )
        if not folder.is_dir():
            raise Unsuitable(f"checkpoint_folder {folder}: got no folder, want one to write to")
        key = read_private_key(key_file)
        return [cls(pool, folder=folder, key=key, every_seconds=settings.checkpoint_every_seconds)]

    async def run(self) -> None:
        while True:
            try:
                await self.export()
            # Whatever it is, it is no reason to stop appending.
            except Exception as error:
                log.error("no checkpoint", error=type(error).__name__, where=place_of(error))
            await asyncio.sleep(self._every_seconds)

    async def export(self) -> Path | None:
        """The file that it wrote; None where the head has not moved. Signs nothing that contradicts its last.

        Several processes may export to one folder: they write the same bytes under the same name.
        """
        async with asyncio.timeout(LOOK_SECONDS_MAX):
            head = await self._pool.fetchrow(HEAD)
        if head is None or head["position"] == 0:
            return None
        journal_id, position = str(head["journal_id"]), head["position"]
        if head["chain"] != head["sealed"]:
            raise _contradiction(f"the seal of the head at {position}")
        newest = self._newest
        if newest is None or newest.journal_id != journal_id:
            newest = await self._folder_thread.run(lambda: self._newest_of(journal_id))
        if newest is not None:
            async with asyncio.timeout(LOOK_SECONDS_MAX):
                chain = await self._pool.fetchval(CHAIN_AT, newest.position)
            if chain != newest.chain or position < newest.position:
                raise _contradiction(newest.name)
            self._newest = newest
            if newest.position == position:
                return None
        checkpoint = Checkpoint(_name_of(journal_id, position), journal_id, position, head["chain"])
        note = sign(
            self._key,
            journal_id=journal_id,
            position=position,
            chain=checkpoint.chain,
        )
        file = self._folder / checkpoint.name
        await self._folder_thread.run(lambda: self._write_once(file, checkpoint, note))
        self._newest = checkpoint
        return file

    def _newest_of(self, journal_id: str) -> Checkpoint | None:
        """The last that our own key has signed under this name; what else lies there says nothing."""
        for file in sorted(self._folder.glob(f"{journal_id}-*{SUFFIX}"), reverse=True):
            try:
                found = _read(file, self._key.public_key())
            except Refused as error:
                log.warning("passed over in the folder of checkpoints", what=str(error))
                continue
            if found.name == _name_of(found.journal_id, found.position):
                return found
            log.warning("passed over in the folder of checkpoints", what=f"{file.name}: renamed")
        return None

    def _write_once(self, file: Path, checkpoint: Checkpoint, note: str) -> None:
        """What is there already stays; Refused or FileExistsError if it is not the same."""
        if not file.exists():
            _write_whole(file, note)
        elif _read(file, self._key.public_key()) != checkpoint:
            raise FileExistsError(file)


def _name_of(journal_id: str, position: int) -> str:
    return f"{journal_id}-{position:0{POSITION_DIGITS}}{SUFFIX}"


def _contradiction(want: str) -> Corrupt:
    log.error("the journal contradicts what was signed or sealed", want=want)
    return Corrupt(want, field="chain", got="another")


def _write_whole(file: Path, content: str) -> None:
    """Or not at all."""
    descriptor, written = tempfile.mkstemp(prefix=".", suffix=".new", dir=file.parent)
    try:
        with os.fdopen(descriptor, "w") as output:
            # Nothing in it is secret, and what carries it away may be another user's.
            os.fchmod(descriptor, 0o644)
            output.write(content)
            output.flush()
            os.fsync(descriptor)
        os.rename(written, file)
    except BaseException:
        os.unlink(written)
        raise
    folder = os.open(file.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _read(file: Path, public_key: Ed25519PublicKey) -> Checkpoint:
    # The end of a pipe that nobody writes to never comes.
    if not stat.S_ISREG(file.stat().st_mode):
        raise Refused(f"{file.name}: got no regular file, want a checkpoint")
    with file.open("rb") as content:
        raw = content.read(NOTE_BYTES_MAX + 1)
    if len(raw) > NOTE_BYTES_MAX:
        raise Refused(f"{file.name}: got more than {NOTE_BYTES_MAX} bytes, want a checkpoint")
    try:
        note = raw.decode()
    except UnicodeDecodeError:
        raise Refused(f"{file.name}: got other bytes than UTF-8, want a checkpoint") from None
    checkpoint = parse(note, name=file.name)
    if not is_signed(note, public_key, name=ORIGIN + checkpoint.journal_id):
        raise Refused(
            f"{file.name}: got no valid signature by the public key, want the key that signed it"
        )
    return checkpoint


def is_signed(note: str, public_key: Ed25519PublicKey, *, name: str) -> bool:
    """Whether the key of this name has signed it, and nothing else under its name and id."""
    text, _, signatures = note.rpartition("\n\n")
    signed = False
    for line in signatures.splitlines():
        signer = f"{SIGNATURE_LINE}{name} "
        try:
            signature = base64.b64decode(line.removeprefix(signer), validate=True)
        except ValueError:
            continue
        # Others may have signed, too: a witness, say.
        if not line.startswith(signer) or signature[:KEY_ID_BYTES] != _key_id(name, public_key):
            continue
        try:
            public_key.verify(signature[KEY_ID_BYTES:], f"{text}\n".encode())
        except InvalidSignature:
            return False
        signed = True
    return signed


def _key_id(name: str, key: Ed25519PublicKey) -> bytes:
    public = key.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    return hashlib.sha256(name.encode() + b"\n" + ED25519 + public).digest()[:KEY_ID_BYTES]
