"""Files and folders that their owner alone reads, also where an earlier start, or a wide umask, left them open."""

import logging
import os
import stat
from pathlib import Path

OWNER_ONLY_MASK = 0o077
FILE_MODE, FOLDER_MODE = 0o600, 0o700

# Not the services' own logger: commands, which load none, say it on standard error.
_log = logging.getLogger("headgate.private")


def keep_to_owner() -> None:
    """What this process and its children make from now on, libraries' files too, is the owner's alone."""
    os.umask(OWNER_ONLY_MASK)


def private_folder(path: Path) -> None:
    """Make the folder, and those above it that are missing; one that is there is closed to others.

    :raises OSError: it can't be made.
    """
    make_folder(path)
    narrow(path, FOLDER_MODE)


def make_folder(path: Path) -> None:
    """As `private_folder`, but one that is there stays as it is."""
    missing = [each for each in (path, *path.parents) if not each.exists()]
    for each in reversed(missing):
        each.mkdir(mode=FOLDER_MODE, exist_ok=True)


def private_file(path: Path, flags: int) -> int:
    """The descriptor of the file, opened with `flags`; one that is there is closed to others.

    :raises OSError: it can't be opened.
    """
    narrow(path, FILE_MODE)
    return os.open(path, flags | os.O_CLOEXEC, FILE_MODE)


def narrow(path: Path, mode: int) -> None:
    """Take what others may do with what is there away from them, and say so. What is not there is left so."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return
    was = stat.S_IMODE(found.st_mode)
    if not was & OWNER_ONLY_MASK:
        return
    if was & stat.S_ISVTX:
        _log.warning(
            "%s is a folder that users share (%04o): what is in it can be seen, if not read", path, was
        )
        return
    try:
        path.chmod(mode)
    except OSError as problem:
        _log.warning("%s is open to others (%04o), and can't be closed: %s", path, was, problem.strerror)
    else:
        _log.warning("%s was open to others (%04o), and is closed now (%04o)", path, was, mode)
