"""The secret that keys are derived under, kept in the data directory where the operator gives none."""

import os
import secrets
from pathlib import Path

from services._runtime.configuration.settings import SettingsError
from services._runtime.private import FILE_MODE, narrow, private_file, private_folder

_BYTES = 32


def keep_secret(path: Path) -> bytes:
    """The secret in the file; it is made, readable by its owner only, when there is none.

    :raises SettingsError: the file holds no secret, or can't be read or made.
    """
    try:
        private_folder(path.parent)
        narrow(path, FILE_MODE)
        if not path.exists():
            _create(path)
        secret = path.read_bytes()
    except OSError as error:
        raise SettingsError([f"the cache's key secret can't be kept: {error}"]) from None
    if len(secret) != _BYTES:
        raise SettingsError([f"{path} is not a key secret: remove it, or set HEADGATE_CACHE_KEY_SECRET"])
    return secret


def _create(path: Path) -> None:
    draft = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
    with os.fdopen(private_file(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), "wb") as file:
        file.write(secrets.token_bytes(_BYTES))
    try:
        # Of two processes that start at once, one's file stays and both read that: a link never replaces.
        path.hardlink_to(draft)
    except FileExistsError:
        return
    finally:
        draft.unlink()
