"""Refused usage on disk: whole lines, files of a bounded size, nothing dropped, nobody's but the owner's."""

import json
import os
import resource
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from services.router.accounts.refused import RefusedFiles


def lines(folder: Path) -> list[int]:
    return sorted(
        json.loads(line) for path in folder.glob("refused*.jsonl") for line in path.read_text().splitlines()
    )


def modes(folder: Path) -> set[int]:
    return {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}


def test_full_files_are_set_beside_the_newest_and_every_line_is_kept(tmp_path: Path) -> None:
    refused = RefusedFiles(tmp_path, 10_000, file_bytes=50)
    for number in range(100):
        refused.append(str(number).encode())
    assert lines(tmp_path) == list(range(100))
    sizes = {path.name: path.stat().st_size for path in tmp_path.glob("refused*.jsonl")}
    assert sorted(sizes) == ["refused.1.jsonl", *(f"refused.{n}.jsonl" for n in range(2, 6)), "refused.jsonl"]
    assert max(sizes.values()) < 60


def test_a_number_is_not_given_twice_when_earlier_files_were_taken_away(tmp_path: Path) -> None:
    refused = RefusedFiles(tmp_path, 10_000, file_bytes=4)
    for number in range(1000, 1004):
        refused.append(str(number).encode())
    (tmp_path / "refused.1.jsonl").unlink()
    refused.append(b"1004")
    assert lines(tmp_path) == [1001, 1002, 1003, 1004]


def test_it_is_full_when_all_files_are_and_keeps_what_comes_nevertheless(tmp_path: Path) -> None:
    refused = RefusedFiles(tmp_path, 100, file_bytes=50)
    number = 0
    while not refused.is_full:
        refused.append(str(number).encode())
        number += 1
    refused.append(str(number).encode())
    assert lines(tmp_path) == list(range(number + 1))
    assert RefusedFiles(tmp_path, 100).is_full
    assert not RefusedFiles(tmp_path, 1000).is_full


def test_processes_that_share_the_folder_lose_nothing_of_each_other(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from services.router.accounts.refused import RefusedFiles\n"
        "first, folder = int(sys.argv[1]), Path(sys.argv[2])\n"
        "files = RefusedFiles(folder, 1_000_000, file_bytes=40)\n"
        "for number in range(first, first + 150): files.append(str(number).encode())"
    )
    writers = [
        subprocess.Popen([sys.executable, "-c", program, str(first), str(tmp_path)])
        for first in (0, 150, 300)
    ]
    assert [writer.wait(60) for writer in writers] == [0, 0, 0]
    assert lines(tmp_path) == list(range(450))


def test_a_disk_that_takes_half_a_line_keeps_none_of_it(tmp_path: Path) -> None:
    refused = RefusedFiles(tmp_path, 10_000)
    refused.append(b"1")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    # A file that may not grow further takes what fits, and refuses the rest.
    resource.setrlimit(resource.RLIMIT_FSIZE, (5, before[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            refused.append(b"2222222222")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    refused.append(b"3")
    assert lines(tmp_path) == [1, 3]


def test_its_files_are_the_owners_alone_whatever_they_were(tmp_path: Path) -> None:
    for name in ("refused.jsonl", "refused.1.jsonl"):
        (tmp_path / name).write_text("1\n")
        (tmp_path / name).chmod(0o644)
    before = os.umask(0)
    try:
        RefusedFiles(tmp_path, 10_000, file_bytes=2).append(b"2")
    finally:
        os.umask(before)
    assert modes(tmp_path) == {0o600}
