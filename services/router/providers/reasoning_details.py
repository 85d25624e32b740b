"""Blocks of reasoning that OpenRouter and others send beside its text, to be handed back unchanged (`reasoning_details`)."""

from collections.abc import Sequence
from typing import Any

_GROWING = ("text", "summary", "data")


class ReasoningDetails:
    """Of one answer: pieces of a block have one index, or else one id, or else follow each other."""

    def __init__(self) -> None:
        self._blocks: dict[Any, dict[str, Any]] = {}

    def take(self, pieces: Sequence[Any]) -> None:
        for piece in pieces:
            if isinstance(piece, dict):
                name = next(
                    (piece[key] for key in ("index", "id") if isinstance(piece.get(key), int | str)), None
                )
                kind = piece.get("type")
                key = kind if isinstance(kind, str) else "", name
                self._add(self._blocks.setdefault(key, {}), piece)

    def blocks(self) -> list[dict[str, Any]]:
        return list(self._blocks.values())

    def _add(self, block: dict[str, Any], piece: dict[str, Any]) -> None:
        for name, value in piece.items():
            known = block.get(name)
            if name in _GROWING and isinstance(known, str) and isinstance(value, str):
                block[name] = known + value
            elif value is not None or name not in block:
                block[name] = value
