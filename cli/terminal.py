"""What a terminal would obey is shown instead: text from services, models and files commands nothing."""

import re

import typer

# C0 but newline and tab, DEL, C1; separators of lines, directions that override; what has no width; halves of a pair.
# U+200C and U+200D stay: words of Persian and Hindi, and many emoji, are written with them.
_OBEYED = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b\u2028-\u202e\u2060-\u206f\ufeff\ud800-\udfff]")


def harmless(text: str) -> str:
    r"""`\u001b` for an escape and so on: character by character, so pieces of a text may be shown one by one.

    The form is JSON's: of a JSON document it makes one with the same values.
    """
    return _OBEYED.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def echo(text: str, *, end: str = "\n", err: bool = False) -> None:
    typer.echo(harmless(text + end), nl=False, err=err)
