"""The token rule, and deterministic text made of tokens.

A token is up to eight characters that are not white space, together with the white space before them; white space at
the very end of a text is one token. Joined again, the tokens of a text are the text.
"""

import re
from hashlib import blake2b
from random import Random

IMAGE_TOKENS = 85
"""What one image counts for in a prompt, whatever its size."""
DOCUMENT_TOKENS = 1500
"""The same of a document, or of sound."""

_PIECE = re.compile(r"\s*\S{1,8}|\s+")
_SENTENCE_WORDS = 8
_VOCABULARY = """
amber basin cedar delta ember field grove harbor island juniper kettle lantern meadow north orchard pebble
quartz river summit thicket under valley willow yellow zephyr anchor bridge copper dawn east forest garden
hollow iron jade kindle linen marble nectar ocean prairie quiet ridge silver timber upland velvet winter a
the and of over through beyond within before after slowly calm bright small open clear
"""
_WORDS = tuple(_VOCABULARY.split())


def pieces(text: str) -> list[str]:
    return _PIECE.findall(text)


def count_tokens(text: str) -> int:
    return len(_PIECE.findall(text))


def seed_of(*parts: str | bytes | int | None) -> int:
    """One seed for a request: equal parts in equal order give the same seed, in every process."""
    digest = blake2b(digest_size=8)
    for part in parts:
        data = part if isinstance(part, bytes) else str(part).encode()
        digest.update(len(data).to_bytes(8, "big"))
        digest.update(data)
    return int.from_bytes(digest.digest(), "big")


def write_words(seed: int, token_count: int) -> list[str]:
    """Sentences of exactly `token_count` tokens, one word each. A shorter text is a prefix of a longer one."""
    words = Random(seed).choices(_WORDS, k=token_count)
    return [_as_written(word, position) for position, word in enumerate(words)]


def natural_length(seed: int) -> int:
    """How long an answer is when nobody asked for a length: 16 to 47 tokens."""
    return 16 + seed % 32


def _as_written(word: str, position: int) -> str:
    place = position % _SENTENCE_WORDS
    if place == 0:
        word = word.capitalize()
    if place == _SENTENCE_WORDS - 1:
        word += "."
    return f" {word}" if position else word
