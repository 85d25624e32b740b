"""What OpenAI-compatible servers count, and where they say it."""

import msgspec
from msgspec import Struct

from headgate.common.v1 import usage_pb2
from services.router.providers.json_text import Count


class PromptDetails(Struct, gc=False):
    cached_tokens: Count | None = None
    cache_write_tokens: Count | None = None


class CompletionDetails(Struct, gc=False):
    reasoning_tokens: Count | None = None


class Usage(Struct, gc=False):
    prompt_tokens: Count | None = None
    completion_tokens: Count | None = None
    total_tokens: Count | None = None
    prompt_tokens_details: PromptDetails | None = None
    completion_tokens_details: CompletionDetails | None = None
    cached_tokens: Count | None = None
    """Of the prompt, where a server has no details."""
    prompt_cache_hit_tokens: Count | None = None
    """DeepSeek's name for it."""
    input_tokens: Count | None = None
    output_tokens: Count | None = None
    """What servers that also speak other APIs call prompt and completion."""
    reasoning_tokens: Count | None = None

    @property
    def inputs(self) -> int:
        return self.prompt_tokens or self.input_tokens or 0

    @property
    def outputs(self) -> int:
        return self.completion_tokens or self.output_tokens or 0


def newest(known: Usage | None, told: Usage) -> Usage | None:
    """What is known after another count. A count is of all so far; one that says nothing, or 0, takes nothing back."""
    if told.prompt_tokens and told.completion_tokens:
        return told
    if told.inputs and told.outputs:
        return told
    if not told.inputs and not told.outputs and not told.total_tokens:
        return known
    if known is None:
        return told
    told_fields = {name: value for name, value in msgspec.structs.asdict(told).items() if value}
    return msgspec.structs.replace(known, **{"total_tokens": None, **told_fields})


def to_usage(usage: Usage) -> usage_pb2.TokenUsage:
    """The counts with subsets inside their totals, whichever way the server counts.

    What was not told is 0: whoever knows what was said doesn't believe it.
    """
    prompt, completion = usage.prompt_tokens_details, usage.completion_tokens_details
    cached = (prompt and prompt.cached_tokens) or usage.cached_tokens or usage.prompt_cache_hit_tokens or 0
    written = (prompt and prompt.cache_write_tokens) or 0
    reasoning = (completion and completion.reasoning_tokens) or usage.reasoning_tokens or 0
    inputs = usage.prompt_tokens or usage.input_tokens or 0
    outputs = usage.completion_tokens or usage.output_tokens or 0
    more = (usage.total_tokens or 0) - inputs - outputs
    if more > 0:
        # Something was counted beside both: what the cache read and wrote when it is just that, else what the model thought.
        beside = cached + written
        if not inputs or (beside > inputs and more == beside):
            inputs += more
        else:
            outputs += more
    if reasoning > outputs:
        outputs += reasoning
    return usage_pb2.TokenUsage(
        input_tokens=inputs,
        output_tokens=outputs,
        cache_read_input_tokens=min(cached, inputs),
        cache_write_input_tokens=min(written, max(0, inputs - cached)),
        reasoning_output_tokens=reasoning,
        total_tokens=inputs + outputs,
        source=usage_pb2.USAGE_SOURCE_PROVIDER,
    )
