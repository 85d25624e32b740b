"""What Anthropic's API counts."""

from typing import Any

from msgspec import Struct

from headgate.common.v1 import usage_pb2
from services.router.providers.json_text import Count


class OutputDetails(Struct, gc=False):
    thinking_tokens: Count | None = None


class Usage(Struct, gc=False):
    """Totals so far; an event that leaves a count out leaves it as it was."""

    input_tokens: Count | None = None
    cache_creation_input_tokens: Count | None = None
    cache_read_input_tokens: Count | None = None
    output_tokens: Count | None = None
    output_tokens_details: OutputDetails | None = None
    service_tier: Any = None


class Counts:
    """The provider's counts so far. Its input leaves out what the prompt cache read and wrote; Headgate's holds it."""

    def __init__(self) -> None:
        self.told = False
        self.tier = ""
        self.is_final = False
        self._started = False
        self._input = self._written = self._read = self._output = self._thinking = 0

    def take(self, usage: Usage | None, *, final: bool, pieces: int) -> None:
        """A count, after so many pieces of the answer: of those, 0 is none."""
        if usage is None:
            return
        self.told = self._started = True
        if isinstance(usage.service_tier, str):
            self.tier = usage.service_tier
        counts_output = usage.output_tokens or (usage.output_tokens == 0 and not pieces)
        self.is_final = self.is_final or (final and bool(counts_output))
        self._input = usage.input_tokens or self._input
        self._written = usage.cache_creation_input_tokens or self._written
        self._read = usage.cache_read_input_tokens or self._read
        self._output = usage.output_tokens or self._output
        if usage.output_tokens_details is not None:
            self._thinking = usage.output_tokens_details.thinking_tokens or self._thinking

    def settle(self, pieces: int) -> None:
        """The end of an answer whose input was counted and whose output, against the protocol, was not."""
        if self._started and not self.is_final:
            self.told = True
            self._output = max(self._output, pieces)

    def usage(self) -> usage_pb2.TokenUsage | None:
        """None where nothing was told since it was last asked."""
        if not self.told:
            return None
        self.told = False
        inputs = self._input + self._written + self._read
        source = usage_pb2.USAGE_SOURCE_PROVIDER if self.is_final else usage_pb2.USAGE_SOURCE_ESTIMATED
        return usage_pb2.TokenUsage(
            input_tokens=inputs,
            output_tokens=self._output,
            cache_read_input_tokens=self._read,
            cache_write_input_tokens=self._written,
            reasoning_output_tokens=min(self._thinking, self._output),
            total_tokens=inputs + self._output,
            source=source,
        )
