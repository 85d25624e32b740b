"""Makes the adapter that a provider's declaration asks for."""

from yarl import URL

from services._runtime.telemetry.masking import Masking
from services.router.providers.anthropic import VERSION, AnthropicProvider
from services.router.providers.openai import OpenAiProvider
from services.router.providers.openai_dialect import Dialect
from services.router.providers.pool import Pool
from services.router.targets.declaration import ProviderDeclaration
from services.router.targets.provider import Provider


def build(name: str, declared: ProviderDeclaration, masking: Masking) -> Provider:
    """Opens nothing: connections are made by the first request or `warm_up`. What `masking` hides, no answer tells."""
    make = _anthropic if declared.api == "anthropic" else _openai
    return make(name, declared, masking)


def _anthropic(name: str, declared: ProviderDeclaration, masking: Masking) -> Provider:
    headers = {"anthropic-version": VERSION}
    if declared.api_key:
        headers["x-api-key"] = declared.api_key.reveal()
    return AnthropicProvider(_pool(name, declared, headers, masking))


def _openai(name: str, declared: ProviderDeclaration, masking: Masking) -> Provider:
    headers = {"Authorization": f"Bearer {declared.api_key.reveal()}"} if declared.api_key else {}
    dialect = Dialect(
        declared.max_tokens_field,
        declared.continuous_usage,
        declared.extensions,
        declared.nine_letter_tool_call_ids,
    )
    return OpenAiProvider(_pool(name, declared, headers, masking), dialect, declared.token_counter)


def _pool(name: str, declared: ProviderDeclaration, headers: dict[str, str], masking: Masking) -> Pool:
    return Pool(
        name,
        _versioned(declared.base_url),
        headers,
        masking,
        declared.timeouts,
        provider=declared.billed_as or name,
        max_connections=declared.max_connections,
        keep_alive_seconds=declared.keep_alive_seconds,
        proxy=declared.proxy,
    )


def _versioned(base_url: str) -> str:
    """An address without a path means the API's first version, where both APIs live."""
    return base_url if URL(base_url).path.strip("/") else f"{base_url.rstrip('/')}/v1"
