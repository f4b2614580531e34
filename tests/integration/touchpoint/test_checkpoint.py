"""A checkpoint says what was signed, for whoever has the public key, and is exported whatever fails."""

import asyncio
import base64
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from uuid import UUID

import pytest
import structlog.testing
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from services.chassis.errors import Corrupt
from services.chassis.postgres import Pool, Unsuitable
from services.touchpoint import checkpoint
from services.touchpoint.checkpoint import (
    Checkpoint,
    Exporter,
    Refused,
    is_signed,
    parse,
    read_all,
    sign,
)
from services.touchpoint.journal import Journal
from services.touchpoint.settings import Settings
from services.touchpoint.walk import walk
from tests.support.entries import append, entry

ROOT = Path(__file__).parent.parent.parent.parent
JOURNAL_ID = str(UUID(int=7))
DEADLINE_SECONDS = 20


@pytest.fixture
def key() -> Ed25519PrivateKey:
    return Ed25519PrivateKey.generate()


@pytest.fixture
async def journal(journal_pool: Pool) -> Journal:
    # Whoever may change everything can switch off what guards the head.
    await journal_pool.execute("ALTER TABLE journal.head DISABLE TRIGGER USER")
    return await Journal.open(journal_pool, stopping=asyncio.Event())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "checkpoints"
    made.mkdir()
    return made


@pytest.fixture
def exporter(journal_pool: Pool, folder: Path, key: Ed25519PrivateKey) -> Exporter:
    return Exporter(journal_pool, folder=folder, key=key, every_seconds=0.01)


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(DEADLINE_SECONDS):
        while not condition():  # noqa: ASYNC110  # a folder has no event to wait on
            await asyncio.sleep(0.01)


def pem(key: Ed25519PrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def note(key: Ed25519PrivateKey, position: int = 17) -> str:
    return sign(key, journal_id=JOURNAL_ID, position=position, chain=bytes(range(32)))


def test_a_signed_checkpoint_is_read_as_it_was_signed(key: Ed25519PrivateKey, folder: Path) -> None:
    file = folder / "a.checkpoint"
    file.write_text(note(key))
    signed = Checkpoint("a.checkpoint", JOURNAL_ID, 17, bytes(range(32)))
    assert [signed] == read_all(file, key.public_key())
    assert [signed] == read_all(folder, key.public_key())


def test_what_another_program_signed_is_valid() -> None:
    # The example in the documentation of golang.org/x/mod/sumdb/note.
    key = Ed25519PublicKey.from_public_bytes(
        base64.b64decode("ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW")[1:]
    )
    signature = "x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM="
    text = (
        "If you think cryptography is the answer to your problem,\n"
        "then you don't know what your problem is.\n\n"
        f"— PeterNeumann {signature}\n"
    )
    assert is_signed(text, key, name="PeterNeumann")
    assert not is_signed(text.replace("don't", "do"), key, name="PeterNeumann")
    assert not is_signed(text, key, name="Peter")


def test_no_letter_of_a_checkpoint_can_be_changed(key: Ed25519PrivateKey, folder: Path) -> None:
    file, signed = folder / "a.checkpoint", note(key)
    file.write_text(signed)
    [true] = read_all(file, key.public_key())
    for index, letter in enumerate(signed):
        for other in ("A", "7", "\n", ""):
            if other == letter:
                continue
            file.write_text(signed[:index] + other + signed[index + 1 :])
            try:
                assert [true] == read_all(file, key.public_key())
            except Refused:
                continue
            # Base64 has bits to spare in its last letter.
            assert index > signed.rindex(" ")


def test_signatures_of_others_are_passed_over(key: Ed25519PrivateKey, folder: Path) -> None:
    file, other = folder / "a.checkpoint", Ed25519PrivateKey.generate()
    lines = note(key) + note(other).splitlines()[-1] + "\n— witness.example AAAA\n— \nnoise\n"
    file.write_text(lines)
    for one in (key, other):
        assert [17] == [each.position for each in read_all(file, one.public_key())]
    with pytest.raises(Refused, match="no valid signature"):
        read_all(file, Ed25519PrivateKey.generate().public_key())


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("touchledger/journal/", "sum.example/"),
        ("\n17\n", "\n017\n"),
        ("\n17\n", "\n0\n"),
        ("\n17\n", "\n-17\n"),
        ("\n17\n", "\n17\n\n"),
        ("=\n", "=\nextension\n"),
        ("\n\n", "\n"),
        ("— ", "- "),
    ],
)
def test_what_is_no_checkpoint_is_refused(
    key: Ed25519PrivateKey, folder: Path, before: str, after: str
) -> None:
    (folder / "a.checkpoint").write_text(note(key).replace(before, after, 1))
    with pytest.raises(Refused, match="want"):
        read_all(folder, key.public_key())


def test_files_that_hold_no_note_are_refused(key: Ed25519PrivateKey, folder: Path) -> None:
    with pytest.raises(Refused, match="got no file"):
        read_all(folder, key.public_key())
    with pytest.raises(Refused, match="No such file"):
        read_all(folder / "none", key.public_key())
    for content in (b"", b"\xff\xfe", bytes(checkpoint.NOTE_BYTES_MAX + 1)):
        (folder / "a.checkpoint").write_bytes(content)
        with pytest.raises(Refused, match="want"):
            read_all(folder, key.public_key())


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
def test_keys_are_those_that_openssl_makes(tmp_path: Path) -> None:
    private, public = tmp_path / "key.pem", tmp_path / "key.pub"
    for command in (
        f"openssl genpkey -algorithm ed25519 -out {private}",
        f"openssl pkey -in {private} -pubout -out {public}",
    ):
        subprocess.run(command.split(), check=True, capture_output=True)
    private.chmod(0o600)
    key = checkpoint.read_private_key(private)
    file = tmp_path / "a.checkpoint"
    file.write_text(note(key))
    assert [17] == [each.position for each in read_all(file, checkpoint.read_public_key(public))]
    # And openssl agrees with the signature.
    text, _, signatures = note(key).rpartition("\n\n")
    (tmp_path / "text").write_text(f"{text}\n")
    (tmp_path / "signature").write_bytes(base64.b64decode(signatures.split()[-1])[4:])
    done = subprocess.run(
        f"openssl pkeyutl -verify -pubin -inkey {public} -rawin -in {tmp_path}/text "
        f"-sigfile {tmp_path}/signature".split(),
        check=False,
        capture_output=True,
    )
    assert done.returncode == 0, done.stderr


def test_a_key_of_another_kind_is_refused(tmp_path: Path, key: Ed25519PrivateKey) -> None:
    file = tmp_path / "key.pem"
    others = ec.generate_private_key(ec.SECP256R1())
    file.write_bytes(
        others.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    )
    with pytest.raises(Refused, match="another kind"):
        checkpoint.read_public_key(file)
    file.write_bytes(pem(key))
    with pytest.raises(Refused, match="public key as PEM"):
        checkpoint.read_public_key(file)
    with pytest.raises(Refused, match="FileNotFoundError"):
        checkpoint.read_public_key(tmp_path / "none")
    file.write_bytes(
        others.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    with pytest.raises(Unsuitable, match="another kind"):
        checkpoint.read_private_key(file)
    file.write_text("no key")
    with pytest.raises(Unsuitable, match="openssl genpkey"):
        checkpoint.read_private_key(file)


@pytest.mark.parametrize(("mode", "fits"), [(0o600, True), (0o440, True), (0o644, False)])
def test_a_key_that_others_can_read_is_refused(
    tmp_path: Path, key: Ed25519PrivateKey, mode: int, fits: bool
) -> None:
    file = tmp_path / "key.pem"
    file.write_bytes(pem(key))
    file.chmod(mode)
    if fits:
        assert checkpoint.read_private_key(file).sign(b"") == key.sign(b"")
    else:
        with pytest.raises(Unsuitable, match="644"):
            checkpoint.read_private_key(file)


async def test_settings_are_none_or_both(
    journal_pool: Pool, tmp_path: Path, folder: Path, key: Ed25519PrivateKey
) -> None:
    file = tmp_path / "key.pem"
    file.write_bytes(pem(key))
    file.chmod(0o600)

    def configured(folder: Path | None, key_file: Path | None) -> int:
        settings = Settings.model_validate(
            {
                "database_url": "unused",
                "checkpoint_folder": folder,
                "checkpoint_key_file": key_file,
            }
        )
        return len(Exporter.configured(journal_pool, settings))

    assert configured(None, None) == 0
    assert configured(folder, file) == 1
    for wrong in ((folder, None), (None, file), (tmp_path / "none", file), (folder, folder)):
        with pytest.raises(Unsuitable, match="checkpoint_"):
            configured(*wrong)


async def test_the_head_is_exported_when_it_has_moved(
    journal: Journal, exporter: Exporter, folder: Path, key: Ed25519PrivateKey
) -> None:
    assert await exporter.export() is None
    await append(journal, entry("a"), entry("b"))
    assert await exporter.export() is not None
    assert await exporter.export() is None
    await append(journal, entry("c"))
    await append(journal, entry("d"))
    assert await exporter.export() is not None
    found = read_all(folder, key.public_key())
    assert [(journal.journal_id, 2), (journal.journal_id, 4)] == [
        (each.journal_id, each.position) for each in found
    ]
    assert [each.name for each in found] == sorted(path.name for path in folder.iterdir())


async def test_what_is_exported_is_what_the_journal_has(
    journal: Journal, journal_pool: Pool, exporter: Exporter, folder: Path, key: Ed25519PrivateKey
) -> None:
    for each in range(5):
        await append(journal, entry(f"event-{each}"))
        await exporter.export()
    async with journal_pool.acquire() as connection:
        result = await walk(connection, read_all(folder, key.public_key()))
    assert (5, None) == (result.agreed, result.problem)


async def test_several_processes_export_to_one_folder(
    journal: Journal, journal_pool: Pool, folder: Path, key: Ed25519PrivateKey
) -> None:
    await append(journal, entry("a"))
    exporters = [Exporter(journal_pool, folder=folder, key=key, every_seconds=1) for _ in range(4)]
    await asyncio.gather(*(each.export() for each in exporters))
    [file] = folder.iterdir()
    assert file.stat().st_mode & 0o777 == 0o644
    before = file.stat()
    # Another process that starts later finds it and writes nothing.
    assert await Exporter(journal_pool, folder=folder, key=key, every_seconds=1).export() is None
    # Reading it moves the time of its last access.
    assert (file.stat().st_ino, file.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


async def test_nothing_is_signed_that_contradicts_the_last_checkpoint(
    journal: Journal, journal_pool: Pool, exporter: Exporter, folder: Path, key: Ed25519PrivateKey
) -> None:
    await append(journal, entry("a"))
    await append(journal, entry("b"))
    await exporter.export()
    await journal_pool.execute(
        "UPDATE journal.seals SET chain = sha256('x') WHERE last_position = 2"
    )
    await append(journal, entry("c"))
    later = Exporter(journal_pool, folder=folder, key=key, every_seconds=1)
    for each in (exporter, later):
        with pytest.raises(Corrupt):
            await each.export()
    await journal_pool.execute("DELETE FROM journal.seals WHERE last_position = 2")
    for each in (exporter, later):
        with pytest.raises(Corrupt):
            await each.export()
    assert [2] == [each.position for each in read_all(folder, key.public_key())]


@pytest.mark.parametrize("change", ["position = position - 1", "chain = sha256('x')"])
async def test_a_head_that_is_not_its_last_seal_is_not_signed(
    journal: Journal, journal_pool: Pool, exporter: Exporter, folder: Path, change: str
) -> None:
    await append(journal, entry("a"))
    await exporter.export()
    await append(journal, entry("b"), entry("c"))
    await journal_pool.execute(f"UPDATE journal.head SET {change}")
    with pytest.raises(Corrupt):
        await exporter.export()
    assert len(list(folder.iterdir())) == 1


async def test_no_earlier_position_is_signed_after_a_later_one(
    journal: Journal, journal_pool: Pool, exporter: Exporter, folder: Path
) -> None:
    await append(journal, entry("a"))
    await append(journal, entry("b"))
    await exporter.export()
    await journal_pool.execute(
        "UPDATE journal.head SET (position, chain) = "
        "(SELECT last_position, chain FROM journal.seals WHERE last_position = 1)"
    )
    with pytest.raises(Corrupt):
        await exporter.export()
    assert len(list(folder.iterdir())) == 1


async def test_a_restored_journal_begins_its_own_checkpoints(
    journal: Journal, journal_pool: Pool, exporter: Exporter, folder: Path, key: Ed25519PrivateKey
) -> None:
    await append(journal, entry("a"))
    await exporter.export()
    await journal_pool.execute("UPDATE journal.head SET journal_id = $1", UUID(int=7))
    await exporter.export()
    assert {journal.journal_id, JOURNAL_ID} == {
        each.journal_id for each in read_all(folder, key.public_key())
    }


async def test_an_existing_checkpoint_is_never_overwritten(
    journal: Journal, exporter: Exporter, folder: Path
) -> None:
    await append(journal, entry("a"))
    file = folder / f"{journal.journal_id}-{1:019}.checkpoint"
    file.write_text(note(Ed25519PrivateKey.generate(), 1).replace(JOURNAL_ID, journal.journal_id))
    before = file.read_text()
    with pytest.raises(Refused, match="no valid signature"):
        await exporter.export()
    assert before == file.read_text()


async def test_only_what_its_own_key_has_signed_is_taken_for_the_last_checkpoint(
    journal: Journal, journal_pool: Pool, exporter: Exporter, folder: Path, key: Ed25519PrivateKey
) -> None:
    await append(journal, entry("a"))
    assert await exporter.export() is not None
    prefix = f"{journal.journal_id}-"
    (folder / f"{prefix}{7:019}.checkpoint").write_text(note(Ed25519PrivateKey.generate(), 7))
    (folder / f"{prefix}{8:019}.checkpoint").write_text("no note")
    # Signed for another journal, and under a name that it was not given.
    (folder / f"{prefix}{9:019}.checkpoint").write_text(note(key, 9))
    os.mkfifo(folder / f"{prefix}{10:019}.checkpoint")
    (folder / f"{prefix}{11:019}.checkpoint").mkdir()
    later = Exporter(journal_pool, folder=folder, key=key, every_seconds=1)
    with structlog.testing.capture_logs() as records:
        assert await later.export() is None
    assert {"passed over in the folder of checkpoints"} == {each["event"] for each in records}
    told = [each["what"] for each in records]
    assert [11, 10, 9, 8, 7] == [int(each.removeprefix(prefix)[:19]) for each in told]
    await append(journal, entry("b"))
    assert await later.export() is not None


async def test_one_thread_alone_hangs_with_the_folder(
    journal: Journal, exporter: Exporter, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await append(journal, entry("a"))
    release, begun = threading.Event(), list[str]()
    real = os.fsync

    def hang(descriptor: int) -> None:
        begun.append(threading.current_thread().name)
        assert threading.current_thread().daemon
        assert release.wait(DEADLINE_SECONDS)
        real(descriptor)

    monkeypatch.setattr("os.fsync", hang)
    monkeypatch.setattr(checkpoint, "FOLDER_SECONDS_MAX", 0.1)
    with structlog.testing.capture_logs() as records:
        running = asyncio.create_task(exporter.run())
        try:
            await until(lambda: len(records) >= 3)
            assert {("no checkpoint", "TimeoutError")} == {
                (each["event"], each["error"]) for each in records
            }
            assert len(begun) == 1
            # Appends go on meanwhile.
            await append(journal, entry("b"))
            monkeypatch.setattr(checkpoint, "FOLDER_SECONDS_MAX", DEADLINE_SECONDS)
            release.set()
            await until(lambda: len(list(folder.glob("*.checkpoint"))) == 2)
        finally:
            release.set()
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)


def test_a_folder_that_hangs_does_not_keep_a_process_that_is_told_to_stop() -> None:
    program = """
import threading
from services.chassis.server import run_process
from services.touchpoint.checkpoint import FolderThread

def hang():
    print("hangs", flush=True)
    threading.Event().wait()

async def main():
    await FolderThread().run(hang)

run_process(main)
"""
    with subprocess.Popen(
        [sys.executable, "-c", program], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "hangs\n"
            process.terminate()
            assert process.wait(DEADLINE_SECONDS) == 0
        finally:
            process.kill()


def test_what_is_no_regular_file_is_refused_at_once(key: Ed25519PrivateKey, folder: Path) -> None:
    pipe = folder / "a.checkpoint"
    os.mkfifo(pipe)
    for each in (folder, pipe):
        with pytest.raises(Refused, match="no regular file"):
            read_all(each, key.public_key())


async def test_an_export_that_fails_is_logged_and_tried_again(
    journal: Journal, exporter: Exporter, folder: Path
) -> None:
    await append(journal, entry("a"))
    folder.rmdir()
    with structlog.testing.capture_logs() as records:
        running = asyncio.create_task(exporter.run())
        try:
            await until(lambda: len(records) >= 2)
            assert {"no checkpoint"} == {each["event"] for each in records}
            assert {"FileNotFoundError"} == {each["error"] for each in records}
            # Appends go on meanwhile.
            await append(journal, entry("b"))
            folder.mkdir()
            # An export that had read the head before may write that of "a", too.
            await until(lambda: list(folder.glob(f"*{2:019}.checkpoint")))
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
    [*_, file] = sorted(folder.iterdir())
    assert parse(file.read_text(), name=file.name).position == 2


async def test_a_write_that_fails_leaves_nothing_behind(
    journal: Journal, exporter: Exporter, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await append(journal, entry("a"))

    def fail(descriptor: int) -> None:
        raise OSError("no space left")

    with monkeypatch.context() as patched:
        patched.setattr("os.fsync", fail)
        with pytest.raises(OSError, match="no space"):
            await exporter.export()
    assert [] == list(folder.iterdir())
    assert await exporter.export() is not None
