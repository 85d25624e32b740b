"""What is kept survives: a crash in the middle of a write, a disk that fails, a process that is killed."""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from services.router.accounts import spool as spools
from services.router.accounts.spool import Spool, open_spool, read_segment

LARGE = 1024 * 1024


def found(root: Path) -> list[bytes]:
    """What the next start finds."""
    spool, count = open_spool(root, LARGE)
    payloads = [payload for _, payload in spool.unacknowledged()]
    assert count == len(payloads)
    return payloads


def full(spool: Spool) -> bool:
    return spool.is_full


def die(spool: Spool) -> None:
    """As if the process were killed: its lock is gone, its files stay."""
    os.close(spool._lock)


class Killed(RuleBasedStateMachine):
    """Appends, acknowledges and dies; what was not acknowledged is there after every death."""

    def __init__(self) -> None:
        super().__init__()
        self.root = Path(tempfile.mkdtemp())
        self.folder = 0
        self.kept: dict[int, bytes] = {}
        self.acknowledged: set[bytes] = set()
        self.written = 0
        self.spool = self.open()

    def open(self) -> Spool:
        self.folder += 1
        return Spool(self.root / str(self.folder), max_bytes=2000, segment_bytes=200)

    @rule(size=st.integers(0, 90))
    def append(self, size: int) -> None:
        payload = b"%d:" % self.written + b"x" * size
        self.written += 1
        self.kept[self.spool.append(payload)] = payload

    @rule(data=st.data())
    def acknowledge(self, data: st.DataObject) -> None:
        if self.kept:
            number = data.draw(st.sampled_from(sorted(self.kept)))
            self.acknowledged.add(self.kept.pop(number))
            self.spool.acknowledge(number)
            self.spool.acknowledge(number)

    @rule(garbage=st.binary(max_size=12), torn=st.booleans())
    def die_and_start_again(self, garbage: bytes, torn: bool) -> None:
        if torn and self.spool._current is not None and garbage:
            # A crash in the middle of a write leaves the beginning of a record.
            record = spools._HEADER.pack(1000, 0) + garbage
            os.write(self.spool._current.descriptor, record)
        dead, owed = self.spool, set(self.kept.values())
        die(dead)
        self.spool = self.open()
        spools._adopt(dead._folder, self.spool)
        self.kept = dict(self.spool.unacknowledged())
        assert owed <= set(self.kept.values()) <= owed | self.acknowledged
        assert not dead._folder.exists()

    @rule()
    def sync(self) -> None:
        if (sync := self.spool.pending_sync()) is not None:
            sync()
        assert self.spool.pending_sync() is None

    @invariant()
    def depth_and_order_are_right(self) -> None:
        assert self.spool.depth == len(self.kept)
        assert list(self.spool.unacknowledged()) == sorted(self.kept.items())
        assert self.spool.is_full == (sum(map(len, self.kept.values())) >= 2000)

    @invariant()
    def there_are_no_more_files_than_needed(self) -> None:
        files = list(self.spool._folder.glob("*.seg"))
        assert len(files) <= len(self.kept) + 1

    def teardown(self) -> None:
        self.spool.close()
        shutil.rmtree(self.root)


TestKilled = Killed.TestCase
TestKilled.settings = settings(max_examples=60, stateful_step_count=40)


def test_a_torn_last_record_does_not_hide_those_before_it(tmp_path: Path) -> None:
    spool, _ = open_spool(tmp_path, LARGE)
    for payload in (b"one", b"two"):
        spool.append(payload)
    (segment,) = spool._folder.glob("*.seg")
    os.truncate(segment, segment.stat().st_size - 1)
    die(spool)
    assert found(tmp_path) == [b"one"]


def test_a_damaged_record_hides_no_other_and_its_segment_is_set_aside(tmp_path: Path) -> None:
    spool, _ = open_spool(tmp_path, LARGE)
    for payload in (b"one", b"two", b"three"):
        spool.append(payload)
    (segment,) = spool._folder.glob("*.seg")
    content = bytearray(segment.read_bytes())
    content[content.index(b"two")] ^= 1
    segment.write_bytes(content)
    die(spool)
    assert found(tmp_path) == [b"one", b"three"]
    (aside,) = tmp_path.glob("damaged-*")
    assert read_segment(aside) == ([b"one", b"three"], True)


def test_a_disk_that_refuses_loses_nothing_and_stops_admission(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool, _ = open_spool(tmp_path, LARGE)
    spool.append(b"before")

    def half(descriptor: int, data: bytes) -> int:
        """A disk that fills up in the middle of the record."""
        if len(data) > 4:
            return real(descriptor, data[:4])
        raise OSError(28, "No space left on device")

    real = os.write
    monkeypatch.setattr(os, "write", half)
    spool.append(b"during")
    assert full(spool)
    assert [payload for _, payload in spool.unacknowledged()] == [b"before", b"during"]
    with pytest.raises(OSError, match="No space"):
        spool.retry()
    monkeypatch.setattr(os, "write", real)
    spool.append(b"after")
    assert full(spool)
    spool.retry()
    assert not full(spool)
    die(spool)
    assert sorted(found(tmp_path)) == [b"after", b"before", b"during"]


def test_what_only_memory_has_can_be_acknowledged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spool, _ = open_spool(tmp_path, LARGE)
    with monkeypatch.context() as broken:
        broken.setattr(os, "write", lambda *_: (_ for _ in ()).throw(OSError(5, "Input/output error")))
        number = spool.append(b"x")
    spool.acknowledge(number)
    assert not full(spool)
    spool.retry()
    die(spool)
    assert found(tmp_path) == []


def test_it_is_full_at_its_cap_and_no_longer_when_something_was_acknowledged(tmp_path: Path) -> None:
    spool, _ = open_spool(tmp_path, 10)
    number = spool.append(b"12345")
    assert not full(spool)
    spool.append(b"67890")
    assert full(spool)
    spool.acknowledge(number)
    assert not full(spool)


def test_a_spool_that_was_emptied_and_closed_leaves_nothing_to_the_next(tmp_path: Path) -> None:
    spool, _ = open_spool(tmp_path, LARGE)
    spool.acknowledge(spool.append(b"x"))
    spool.close()
    assert found(tmp_path) == []
    assert len([folder for folder in tmp_path.iterdir() if folder.is_dir()]) == 1


def test_a_closed_spool_keeps_what_was_not_acknowledged(tmp_path: Path) -> None:
    spool, _ = open_spool(tmp_path, LARGE)
    spool.append(b"x")
    spool.close()
    assert found(tmp_path) == [b"x"]


def test_a_living_process_keeps_its_records(tmp_path: Path) -> None:
    living, _ = open_spool(tmp_path, LARGE)
    living.append(b"mine")
    assert found(tmp_path) == []
    assert living.depth == 1


def test_a_sync_outlives_the_segment_that_it_syncs(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "1", LARGE, segment_bytes=8)
    number = spool.append(b"a whole segment")
    sync = spool.pending_sync()
    assert sync is not None
    spool.acknowledge(number)
    sync()


CHILD = """
import sys
from pathlib import Path
from services.router.accounts.spool import open_spool
spool, _ = open_spool(Path(sys.argv[1]), 1 << 30)
for number in range(100_000):
    spool.append(b"%d" % number)
    if number == 1000:
        print("kill me", flush=True)
"""


def test_records_of_a_killed_process_are_adopted_by_the_next(tmp_path: Path) -> None:
    child = subprocess.Popen([sys.executable, "-c", CHILD, str(tmp_path)], stdout=subprocess.PIPE)
    assert child.stdout is not None
    with child.stdout:
        child.stdout.readline()
        child.kill()
        child.wait()
    payloads = found(tmp_path)
    assert len(payloads) > 1000
    assert payloads == [b"%d" % number for number in range(len(payloads))]


def test_processes_that_start_together_do_not_adopt_each_other(tmp_path: Path) -> None:
    script = (
        "import sys\nfrom pathlib import Path\nfrom services.router.accounts.spool import open_spool\n"
        "spool, _ = open_spool(Path(sys.argv[1]), 1 << 20)\nspool.append(b'x')\nprint(spool.depth, flush=True)\n"
        "sys.stdin.read()\n"
    )
    children = [
        subprocess.Popen(
            [sys.executable, "-c", script, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        for _ in range(4)
    ]
    depths = [child.stdout.readline() for child in children if child.stdout is not None]
    for child in children:
        child.communicate()
    assert depths == [b"1\n"] * 4
    assert found(tmp_path) == [b"x"] * 4
