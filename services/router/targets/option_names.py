"""Which fields of a provider's API an operator may let `provider_options` set, and which never, with the reason.

Sources: the request schemas of OpenAI's chat completions, Anthropic's Messages, vLLM, llama.cpp, Together, OpenRouter and
LiteLLM's proxy. What is in no table here is the operator's word.
"""

from collections.abc import Mapping
from typing import Final

# Every field that a body can get from Headgate's own fields, whether or not a request uses them.
OWN: Final[Mapping[str, frozenset[str]]] = {
    "openai": frozenset(
        {
            "model",
            "messages",
            "stream",
            "stream_options",
            "max_tokens",
            "max_completion_tokens",
            "temperature",
            "top_p",
            "top_k",
            "stop",
            "seed",
            "presence_penalty",
            "frequency_penalty",
            "logprobs",
            "top_logprobs",
            "n",
            "tools",
            "tool_choice",
            "parallel_tool_calls",
            "response_format",
            "grammar",
            "structured_outputs",
            "reasoning_effort",
            "service_tier",
            "user",
        }
    ),
    "anthropic": frozenset(
        {
            "model",
            "messages",
            "system",
            "max_tokens",
            "stream",
            "temperature",
            "top_p",
            "top_k",
            "stop_sequences",
            "tools",
            "tool_choice",
            "thinking",
            "output_config",
            "service_tier",
            "metadata",
        }
    ),
}

# Whoever sets these asks for more output: options.py counts and bounds it.
MORE_OUTPUT: Final = frozenset({"best_of"})
LEAST_OUTPUT: Final = frozenset({"min_tokens", "min_new_tokens"})

_OURS = "Headgate sets this field of the provider's API itself, from its own fields"
_NEVER: Final[Mapping[str, tuple[str, ...]]] = {
    "it would lift the bound that is reserved and held for; a request says max_output_tokens": (
        "max_tokens",
        "max_completion_tokens",
        "max_output_tokens",
        "max_new_tokens",
        "max_length",
        "max_gen_len",
        "max_tokens_to_sample",
        "n_predict",
        "num_predict",
    ),
    "it would multiply the output unseen; a request says choice_count": (
        "n",
        "num_return_sequences",
        "num_generations",
        "candidate_count",
    ),
    "the provider would choose a model or price that Headgate does not know; a request says fallback_models": (
        "model",
        "models",
        "route",
        "fallback",
        "fallbacks",
        "provider",
        "preset",
    ),
    "it would put into the prompt what Headgate can't measure; a request says messages": (
        "messages",
        "prompt",
        "input",
        "previous_response_id",
        "conversation",
        "chat_template",
    ),
    "what it brings costs a fee beside tokens, or tokens that nobody bounds, and no price knows it": (
        "web_search_options",
        "search_parameters",
        "enable_search",
        "plugins",
        "mcp_servers",
        "container",
    ),
    "a request says tools": ("tools", "tool_choice", "functions", "function_call"),
    "a token would have another price than the ledger books": (
        "speed",
        "inference_geo",
        "modalities",
        "audio",
    ),
    "addresses, credentials and headers come from the configuration alone": (
        "api_base",
        "base_url",
        "api_key",
        "extra_headers",
        "extra_query",
    ),
    "it would carry fields that are refused by their own names": (
        "extra_body",
        "options",
        "parameters",
        "generation_config",
        "inference_config",
    ),
}


def _folded(name: str) -> str:
    """Servers differ in whether `maxTokens`, `Max_Tokens` and `max-tokens` are `max_tokens`; here they always are."""
    return name.replace("_", "").replace("-", "").lower()


_REASONS = {_folded(name): reason for reason, names in _NEVER.items() for name in names}
_SPELLINGS = {_folded(name): name for name in MORE_OUTPUT | LEAST_OUTPUT}


def why_never(api: str, name: str) -> str | None:
    """Why no configuration of this API may allow the option; None when it may."""
    folded = _folded(name)
    if folded in map(_folded, OWN[api]):
        return _OURS
    if _SPELLINGS.get(folded, name) != name:
        return f"its output is counted under the name `{_SPELLINGS[folded]}`: allow it as that"
    return _REASONS.get(folded)
