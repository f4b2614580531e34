"""A folder of backups tells what can be restored of it, and takes no backup that is not whole."""

import contextlib
import hashlib
import json
import resource
import shutil
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest

from services.cli.backup_folder import (
    Backup,
    BackupFolder,
    Segment,
    Stored,
    check_manifest,
    key_digest,
    reason_of,
    write_backup,
)
from services.cli.data_folder import LaunchError

MOMENT = datetime(2026, 11, 23, 12, tzinfo=UTC)


@pytest.fixture
def backups(tmp_path: Path) -> BackupFolder:
    folder = BackupFolder(tmp_path / "backups")
    folder.create()
    return folder


def manifest(cluster: Path, files: dict[str, bytes], *, begins: str, ends: str) -> None:
    """As pg_basebackup writes it."""
    cluster.mkdir(parents=True)
    entries = []
    for name, content in files.items():
        (cluster / name).parent.mkdir(parents=True, exist_ok=True)
        (cluster / name).write_bytes(content)
        checksum = hashlib.sha256(content).hexdigest()
        entries.append({"Path": name, "Size": len(content), "Checksum": checksum})
    # The log has checksums of its own.
    (cluster / "pg_wal" / "archive_status").mkdir(parents=True)
    (cluster / "pg_wal" / "archive_status" / "000000010000000000000003.done").touch()
    ranges = [{"Timeline": 1, "Start-LSN": begins, "End-LSN": ends}]
    body = json.dumps({"Files": entries, "WAL-Ranges": ranges})[:-1] + ",\n"
    digest = hashlib.sha256(body.encode()).hexdigest()
    (cluster / "backup_manifest").write_text(f'{body}"Manifest-Checksum": "{digest}"}}\n')


def base(
    backups: BackupFolder,
    moment: datetime = MOMENT,
    *,
    begins: str = "0/3000028",
    ends: str = "0/30000F8",
) -> Stored:
    with backups.writing("base", moment) as folder:
        manifest(folder / "postgres", {"base/1": b"rows"}, begins=begins, ends=ends)
        backup = Backup(
            kind="base",
            made_at=moment.isoformat(),
            journal_id="journal-1",
            position=7,
            gateway_key_digest="",
            with_secrets=False,
            files={},
            bi_roles=[],
        )
        write_backup(folder, backup)
    return next(each for each in backups.all() if each.backup.made_at == moment.isoformat())


def stream(backups: BackupFolder, names: Sequence[str]) -> None:
    for name in names:
        (backups.wal / name).touch()


@pytest.mark.parametrize(
    ("place", "name"),
    [
        ("0/3000028", "000000010000000000000003"),
        ("0/FF000000", "0000000100000000000000FF"),
        ("1/0", "000000010000000100000000"),
        ("2F/1000000", "000000010000002F00000001"),
    ],
)
def test_a_place_in_the_log_is_in_the_piece_that_postgresql_names_so(place: str, name: str) -> None:
    assert name == Segment.at(1, place).name


def test_a_base_reaches_as_far_as_the_log_follows_it(backups: BackupFolder) -> None:
    stored = base(backups)
    stream(
        backups,
        [*(f"00000001000000000000000{each}" for each in "12345"), f"{'0' * 7}1{'0' * 15}6.partial"],
    )
    reach = backups.reach(stored)
    assert (Segment(1, 6), "") == (reach.last, reach.broken_after)


def test_a_base_without_a_log_reaches_itself(backups: BackupFolder) -> None:
    assert backups.reach(base(backups)).last is None


def test_a_gap_in_the_log_is_told_and_nothing_beyond_it_counts(backups: BackupFolder) -> None:
    stored = base(backups)
    stream(backups, [f"00000001000000000000000{each}" for each in "34679"])
    reach = backups.reach(stored)
    assert (Segment(1, 4), "000000010000000000000004") == (reach.last, reach.broken_after)


def test_after_a_restore_the_log_goes_on_on_its_own_timeline(backups: BackupFolder) -> None:
    stored = base(backups)
    stream(backups, ["000000010000000000000003", "000000010000000000000004"])
    stream(backups, ["000000020000000000000004", "000000020000000000000005", "00000002.history"])
    assert Segment(2, 5) == backups.reach(stored).last


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda cluster: (cluster / "base/1").write_bytes(b"Rows"), "got other bytes"),
        (lambda cluster: (cluster / "base/1").unlink(), "No such file"),
        (lambda cluster: (cluster / "base/2").write_bytes(b"more"), "not in the manifest"),
        (
            lambda cluster: (cluster / "backup_manifest").write_text(
                (cluster / "backup_manifest").read_text().replace('"Size": 4', '"Size": 5')
            ),
            "backup_manifest: damaged",
        ),
    ],
    ids=["a byte changed", "a file gone", "a file added", "the manifest changed"],
)
def test_a_base_that_is_not_what_was_written_is_refused(
    backups: BackupFolder, change: Callable[[Path], object], said: str
) -> None:
    cluster = base(backups).postgres
    assert 4 == check_manifest(cluster)
    change(cluster)
    with pytest.raises(LaunchError, match=said):
        check_manifest(cluster)


def test_the_backups_of_another_cluster_are_not_mixed_with_ours(backups: BackupFolder) -> None:
    backups.claim("4711")
    backups.claim("4711")
    with pytest.raises(LaunchError, match="has backups of cluster 4711, this one is 4712"):
        backups.claim("4712")


@contextlib.contextmanager
def no_room() -> Iterator[None]:
    """As on a full disk, no file takes a byte."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_folder_whose_disk_was_full_is_nobody_s_yet(backups: BackupFolder) -> None:
    with pytest.raises(OSError, match="large"), no_room():
        backups.claim("4711")
    backups.claim("4712")


@pytest.mark.parametrize("content", ['{"kind": ', "{}", '{"of": "a later release"}', None])
def test_a_backup_that_does_not_say_what_it_is_of_is_named(
    backups: BackupFolder, content: str | None
) -> None:
    file = base(backups).folder / "backup.json"
    file.unlink() if content is None else file.write_text(content)
    with pytest.raises(LaunchError, match=f"{file}: .*, want what `touchledger backup`"):
        backups.all()


def test_why_a_folder_could_not_be_copied_is_told(tmp_path: Path) -> None:
    (tmp_path / "from").mkdir()
    (tmp_path / "from" / "file").write_bytes(bytes(100_000))
    with pytest.raises(shutil.Error) as failed, no_room():
        shutil.copytree(tmp_path / "from", tmp_path / "to")
    assert "File too large" in reason_of(failed.value)
    assert "Permission denied" == reason_of(PermissionError(13, "Permission denied"))


def test_backups_in_the_data_folder_are_refused(backups: BackupFolder, tmp_path: Path) -> None:
    backups.check_apart(tmp_path / "data")
    for data in (backups.path, tmp_path):
        with pytest.raises(LaunchError, match="want one elsewhere"):
            backups.check_apart(data)


def test_a_backup_that_failed_leaves_nothing(backups: BackupFolder) -> None:
    def fail() -> None:
        with backups.writing("base", MOMENT) as folder:
            (folder / "half").touch()
            raise ValueError("on the way")

    with pytest.raises(ValueError, match="on the way"):
        fail()
    assert [] == backups.all()
    assert {"wal"} == {each.name for each in backups.path.iterdir()}


def test_one_backup_is_made_at_a_time(backups: BackupFolder) -> None:
    with (
        backups.locked("backup"),
        pytest.raises(LaunchError, match="want one at a time"),
        backups.locked("backup"),
    ):
        pass
    with backups.locked("backup"), backups.locked("wal"):
        pass


def test_older_backups_go_with_the_log_that_they_alone_needed(backups: BackupFolder) -> None:
    base(backups)
    kept = base(backups, MOMENT.replace(hour=13), begins="0/5000028", ends="0/50000F8")
    stream(backups, [f"00000001000000000000000{each}" for each in "34567"])

    assert ["base-20261123T120000Z"] == backups.forget(keep=1)

    assert [kept.name] == [each.name for each in backups.all()]
    left = sorted(each.name for each in backups.wal.iterdir())
    assert [f"00000001000000000000000{each}" for each in "567"] == left


def test_a_key_is_told_from_another_without_being_told(tmp_path: Path) -> None:
    (tmp_path / "one").write_text("11" * 32 + "\n")
    (tmp_path / "two").write_text("12" * 32)
    digests = {key_digest(tmp_path / name) for name in ("one", "two")}
    assert 2 == len(digests)
    assert not any("11" * 32 in each for each in digests)
    assert "" == key_digest(tmp_path / "none")
