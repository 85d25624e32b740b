"""The secrets of the user's environment as files for the services, so that no environment of theirs holds one."""

import secrets
from collections.abc import Mapping
from pathlib import Path

from cli.errors import CommandError, ExitCode
from cli.installation import write_private
from cli.suite import plans


def internal_token(environ: Mapping[str, str]) -> str:
    """The user's own, or a new one.

    :raises CommandError: it is set twice, or can't be read.
    """
    variable, file_variable = plans.TOKEN, f"{plans.TOKEN}_FILE"
    text, file = environ.get(variable, ""), environ.get(file_variable, "")
    if text and file:
        raise CommandError(f"{variable} and {file_variable} are both set", "Set one of them", ExitCode.USAGE)
    try:
        given = Path(file).read_text(encoding="utf-8").strip() if file else text
    except OSError as error:
        raise CommandError(f"{file_variable}: {error}", "", ExitCode.USAGE) from None
    return given or secrets.token_urlsafe(32)


def written(service: str, environ: Mapping[str, str], folder: Path) -> dict[str, str]:
    """Writes the service's secrets into `folder`; the variables that say where they are."""
    files = {}
    for name, secret in plans.secrets_of(service, environ).items():
        file = folder / name.removeprefix("HEADGATE_").lower()
        write_private(file, secret)
        files[f"{name}_FILE"] = str(file)
    return files
