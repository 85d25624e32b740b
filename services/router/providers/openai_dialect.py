"""What one OpenAI-compatible server takes, where such servers differ."""

from dataclasses import dataclass
from typing import Any

from services.router.targets.declaration import Extension


@dataclass(frozen=True, slots=True)
class Dialect:
    max_tokens_field: str = "max_completion_tokens"
    continuous_usage: bool = False
    extensions: frozenset[Extension] = frozenset()
    nine_letter_ids: bool = False

    @property
    def stream_options(self) -> dict[str, Any]:
        asked = {"include_usage": True}
        return asked | {"continuous_usage_stats": True} if self.continuous_usage else asked
