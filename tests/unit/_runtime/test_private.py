"""What is kept is its owner's alone: made so under any umask, closed where it was open, and said so."""

import logging
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from services._runtime.private import FILE_MODE, make_folder, narrow, private_file, private_folder


@pytest.fixture(params=[0o000, 0o022, 0o077])
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.usefixtures("umask")
def test_new_files_and_folders_are_the_owners_alone(tmp_path: Path) -> None:
    private_folder(tmp_path / "a" / "b" / "c")
    os.close(private_file(tmp_path / "a" / "file", os.O_WRONLY | os.O_CREAT))
    assert [mode(tmp_path / "a" / name) for name in ("", "b", "b/c", "file")] == [0o700, 0o700, 0o700, 0o600]


@pytest.mark.parametrize("open_mode", [0o644, 0o666, 0o640, 0o604, 0o755])
def test_an_open_file_is_closed_and_that_is_said(
    open_mode: int, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "billing.db"
    path.write_text("kept")
    path.chmod(open_mode)
    os.close(private_file(path, os.O_RDWR))
    assert (mode(path), path.read_text()) == (0o600, "kept")
    assert caplog.messages == [f"{path} was open to others (0{open_mode:o}), and is closed now (0600)"]
    os.close(private_file(path, os.O_RDWR))
    assert len(caplog.messages) == 1


def test_an_open_folder_is_closed_but_not_those_above_it(tmp_path: Path) -> None:
    (tmp_path / "shared" / "data").mkdir(parents=True)
    for path in (tmp_path / "shared", tmp_path / "shared" / "data"):
        path.chmod(0o755)
    private_folder(tmp_path / "shared" / "data")
    assert (mode(tmp_path / "shared"), mode(tmp_path / "shared" / "data")) == (0o755, 0o700)


def test_a_folder_that_is_only_made_stays_as_it_was(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    make_folder(tmp_path)
    assert mode(tmp_path) == 0o755


def test_a_folder_that_users_share_is_left_to_them(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    tmp_path.chmod(0o1777)
    private_folder(tmp_path)
    assert mode(tmp_path) == 0o1777
    assert "is a folder that users share (1777)" in caplog.text


def test_what_is_stricter_stays_and_what_is_absent_is_not_made(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    path = tmp_path / "key"
    path.touch(0o400)
    narrow(path, FILE_MODE)
    narrow(tmp_path / "absent", FILE_MODE)
    assert mode(path) == 0o400
    assert not (tmp_path / "absent").exists()
    assert caplog.messages == []
