"""What others say, fit for a log: one line, no control characters, no key. Pure."""

import base64
import re
from collections.abc import Iterable, Iterator

LONGEST_LINE = 500
_MASK = "***"
_WINDOW = 8
"""So many characters of a secret in a row give it away; a shorter secret is looked for whole."""
_SHORTEST = 4
_LOOKED_AT = 4 * LONGEST_LINE
_CONTROLS = re.compile(
    "[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff\ufff9-\ufffb]+"
)
_KEY_SHAPES = re.compile(
    r"\b(?:sk|pk|rk|hg|gsk|xai|hf|r8|nvapi|tgp|pplx|ghp|gho|github_pat|xox[a-z])[-_][A-Za-z0-9_\-]{8,}"
    r"|\bA[KS]IA[A-Z0-9]{12,}|\bAIza[A-Za-z0-9_\-]{20,}|\beyJ[A-Za-z0-9_\-]{6,}(?:\.[A-Za-z0-9_\-]*){1,2}"
    r"|(?i:\bbearer\s+)[A-Za-z0-9._~+/=\-]{8,}"
)


class Masking:
    """Knows the secrets that must not be told, in the clear, in base64 or in hexadecimal, whole or in part."""

    __slots__ = ("_parts", "_whole")

    def __init__(self, secrets: Iterable[str]) -> None:
        forms = [form for secret in secrets if len(secret) >= _SHORTEST for form in _forms(secret)]
        self._whole = tuple(form for form in forms if len(form) < _WINDOW)
        self._parts = frozenset(part for form in forms for part in _windows(form))

    def line(self, text: str) -> str:
        """`text` in one line of bounded length."""
        said = " ".join(_CONTROLS.sub(" ", text[:_LOOKED_AT]).split())
        said = self._without_secrets(_KEY_SHAPES.sub(_MASK, said))
        return said if len(said) <= LONGEST_LINE else f"{said[: LONGEST_LINE - 1]}…"

    def hides(self, text: str) -> bool:
        """Whether there is anything in it that a line would not show."""
        return bool(_CONTROLS.search(text)) or self._without_secrets(text) != text

    def _without_secrets(self, text: str) -> str:
        for form in self._whole:
            text = text.replace(form, _MASK)
        if not self._parts:
            return text
        return "".join(self._unmasked(text))

    def _unmasked(self, text: str) -> Iterator[str]:
        at = shown = 0
        while at <= len(text) - _WINDOW:
            if text[at : at + _WINDOW] not in self._parts:
                at += 1
                continue
            yield text[shown:at] + _MASK
            at += _WINDOW
            while text[at - _WINDOW + 1 : at + 1] in self._parts:
                at += 1
            shown = at
        yield text[shown:]


def _forms(secret: str) -> Iterator[str]:
    yield secret
    raw = secret.encode()
    yield raw.hex()
    for offset in range(3):
        # How the bytes fall into groups of three depends on what is before them; the outermost signs on that, too.
        encoded = base64.b64encode(bytes(offset) + raw).decode().rstrip("=")
        own = encoded[offset and offset + 1 : -1]
        yield own
        yield own.replace("+", "-").replace("/", "_")


def _windows(form: str) -> Iterator[str]:
    return (form[at : at + _WINDOW] for at in range(len(form) - _WINDOW + 1))
