"""The first start's account and API key, so that the first request needs no set-up."""

from cli import accounts
from cli.client import Peer, connected
from cli.errors import CommandError
from cli.installation import Addresses, Installation, write_private

ORGANIZATION = "default"
USER = "default"


def ensure_key(installation: Installation, addresses: Addresses) -> str:
    """The key that is kept in the data directory; made anew when the ledger does not know it."""
    token = installation.internal_token({})
    with connected("billing", addresses.grpc["billing"], token) as billing:
        kept = installation.api_key({})
        if kept and _is_known(billing, kept):
            return kept
        made = accounts.create_key(billing, ORGANIZATION, USER, "made by the first start").token
    write_private(installation.credentials_file, made)
    return made


def _is_known(billing: Peer, key: str) -> bool:
    try:
        accounts.resolve(billing, key)
    except CommandError as error:
        if error.reason in ("INVALID_KEY", "KEY_REVOKED"):
            return False
        raise
    return True
