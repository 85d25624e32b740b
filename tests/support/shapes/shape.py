"""One way in which a server may say an answer, and what the answer is."""

from dataclasses import dataclass

import msgspec

from services.router.targets.provider import FailureKind

Call = tuple[str, str]
"""Name and arguments."""
PROMPT_TOKENS, OUTPUT_TOKENS = 20, 7


@dataclass(frozen=True, slots=True)
class Shape:
    """`stream` is what comes where a stream was asked for, `body` the same where it was not: empty for shapes of one kind alone.

    `usage` is input, output and input that a cache read. `ids` are of the calls, where the server gives any.
    """

    stream: bytes = b""
    body: bytes = b""
    text: str = ""
    reasoning: str = ""
    refusal: str = ""
    calls: tuple[Call, ...] = ()
    ids: tuple[str, ...] = ()
    finish: str = "STOP"
    usage: tuple[int, int, int] | None = (PROMPT_TOKENS, OUTPUT_TOKENS, 0)
    failure: FailureKind | None = None
    choice_count: int = 1


def sse(*events: object, name: str = "") -> bytes:
    """Objects as JSON, bytes as they are."""
    begin = f"event: {name}\n".encode() if name else b""
    return b"".join(
        begin + b"data: " + (each if isinstance(each, bytes) else msgspec.json.encode(each)) + b"\n\n"
        for each in events
    )
