"""The pepper of the key hashes, kept in the data directory where the operator gives none."""

import os
import secrets
from pathlib import Path

from services._runtime.configuration.settings import SettingsError
from services._runtime.private import FILE_MODE, narrow, private_file, private_folder
from services.billing.settings import PEPPER_VARIABLE

_BYTES = 32


def keep_pepper(path: Path) -> bytes:
    """The pepper in the file; it is made, readable by its owner only, when there is none.

    :raises SettingsError: the file holds no pepper, or can't be read or made.
    """
    try:
        private_folder(path.parent)
        narrow(path, FILE_MODE)
        if not path.exists():
            _create(path)
        pepper = path.read_bytes()
    except OSError as error:
        raise SettingsError(
            [f"the pepper of API keys can't be kept: {error}; set {PEPPER_VARIABLE}"]
        ) from None
    if len(pepper) != _BYTES:
        raise SettingsError([f"{path} is not a pepper: bring the right file back, or set {PEPPER_VARIABLE}"])
    return pepper


def _create(path: Path) -> None:
    draft = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
    descriptor = private_file(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
    with os.fdopen(descriptor, "wb") as file:
        file.write(secrets.token_bytes(_BYTES))
        file.flush()
        # A key that was handed out must not outlive what its hash is keyed with.
        os.fsync(file.fileno())
    draft.replace(path)
