"""The form of API keys, `hg_<key_id>_<secret>`: what is none is told apart without asking whether it is known.

The last six characters of a secret check all that stands before them: their CRC32, in base 62 with leading zeros, as in the
tokens of several public services. Keys of earlier releases have none, so that their secrets are six characters shorter.
"""

import re
from enum import StrEnum
from zlib import crc32

KEY_ID_LENGTH = 16
RANDOM_LENGTH = 40
CHECKSUM_LENGTH = 6
"""62**6 is more than 2**32."""
_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_FORM = re.compile(
    rf"hg_[A-Za-z0-9]{{{KEY_ID_LENGTH}}}_[A-Za-z0-9]{{{RANDOM_LENGTH}}}([A-Za-z0-9]{{{CHECKSUM_LENGTH}}})?"
)


class Fault(StrEnum):
    """Why a text is no key that was ever made."""

    MALFORMED = "malformed"
    CHECKSUM = "checksum"


def fault_of(text: str) -> Fault | None:
    match = _FORM.fullmatch(text)
    if match is None:
        return Fault.MALFORMED
    if match[1] is not None and match[1] != checksum(text[:-CHECKSUM_LENGTH]):
        return Fault.CHECKSUM
    return None


def key_id_of(text: str) -> str:
    """Of a text that has no fault."""
    return text.split("_")[1]


def checksum(text: str) -> str:
    """Of a key's text as far as its checksum."""
    rest, written = crc32(text.encode()), ""
    for _ in range(CHECKSUM_LENGTH):
        rest, digit = divmod(rest, len(_DIGITS))
        written = _DIGITS[digit] + written
    return written
