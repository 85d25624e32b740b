"""Which question a request of a number asks, and with which key. Pure."""

from dataclasses import dataclass

from bench.generator.window import Window

_FILLER = "the quick brown fox jumps over the lazy dog and runs on, "
_SCATTER = 2_654_435_761


@dataclass(frozen=True, slots=True)
class Question:
    prompt: str
    key: int
    is_repeated: bool


def question(window: Window, number: int) -> Question:
    """Deterministic: the same number asks the same. Repeated questions are a pool that was asked before."""
    is_repeated = (number * _SCATTER >> 16) % 100 < window.hit_percent
    if is_repeated:
        member = number % window.pool
        return Question(_prompt(f"again{member:07d}", window), member % window.keys, is_repeated=True)
    return Question(_prompt(f"new{number:010d}", window), number % window.keys, is_repeated=False)


def _prompt(word: str, window: Window) -> str:
    return f"{word} {_filler(window.prompt_bytes - len(word) - 1)}"


def _filler(length: int) -> str:
    return (_FILLER * (length // len(_FILLER) + 1))[: max(0, length)]
