"""Makes the adapter that a provider's configuration asks for."""

from yarl import URL

from services._runtime.environment import Secret
from services.router.config import ProviderConfig
from services.router.provider import Provider, Timeouts
from services.router.providers.anthropic import VERSION, AnthropicProvider
from services.router.providers.openai import OpenAiProvider
from services.router.providers.openai_dialect import Dialect
from services.router.providers.pool import Pool


def build(name: str, config: ProviderConfig, api_key: Secret | None) -> Provider:
    """Opens nothing: connections are made by the first request or `warm_up`."""
    return _anthropic(name, config, api_key) if config.api == "anthropic" else _openai(name, config, api_key)


def _anthropic(name: str, config: ProviderConfig, api_key: Secret | None) -> Provider:
    headers = {"anthropic-version": VERSION}
    if api_key:
        headers["x-api-key"] = api_key.reveal()
    return AnthropicProvider(_pool(name, config, headers, api_key))


def _openai(name: str, config: ProviderConfig, api_key: Secret | None) -> Provider:
    headers = {"Authorization": f"Bearer {api_key.reveal()}"} if api_key else {}
    dialect = Dialect(config.max_tokens_field, config.continuous_usage, config.extensions)
    return OpenAiProvider(_pool(name, config, headers, api_key), dialect)


def _pool(name: str, config: ProviderConfig, headers: dict[str, str], api_key: Secret | None) -> Pool:
    return Pool(
        name,
        _versioned(config.base_url),
        headers,
        api_key,
        Timeouts(
            connect=config.connect_timeout_seconds,
            first_token=config.first_token_timeout_seconds,
            between_tokens=config.between_tokens_timeout_seconds,
            whole_answer=config.whole_answer_timeout_seconds,
        ),
        max_connections=config.max_connections,
        keep_alive_seconds=config.keep_alive_seconds,
    )


def _versioned(base_url: str) -> str:
    """An address without a path means the API's first version, where both APIs live."""
    return base_url if URL(base_url).path.strip("/") else f"{base_url.rstrip('/')}/v1"
