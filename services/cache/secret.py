"""The secret that keys are derived under, kept in the data directory where the operator gives none."""

import os
import secrets
from pathlib import Path

from services._runtime.configuration.settings import SettingsError

_BYTES = 32


def keep_secret(path: Path) -> bytes:
    """The secret in the file; it is made, readable by its owner only, when there is none.

    :raises SettingsError: the file holds no secret, or can't be read or made.
    """
    try:
        if not path.exists():
            _create(path)
        secret = path.read_bytes()
    except OSError as error:
        raise SettingsError([f"the cache's key secret can't be kept: {error}"]) from None
    if len(secret) != _BYTES:
        raise SettingsError([f"{path} is not a key secret: remove it, or set HEADGATE_CACHE_KEY_SECRET"])
    return secret


def _create(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    draft = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(secrets.token_bytes(_BYTES))
    try:
        # Of two processes that start at once, one's file stays and both read that: a link never replaces.
        path.hardlink_to(draft)
    except FileExistsError:
        return
    finally:
        draft.unlink()
