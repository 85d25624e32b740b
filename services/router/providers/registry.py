"""Makes the adapter that a provider's configuration asks for."""

from services._runtime.environment import Secret
from services.router.config import ProviderConfig
from services.router.provider import Provider, Timeouts
from services.router.providers.openai import OpenAiProvider
from services.router.providers.openai_dialect import Dialect
from services.router.providers.pool import Pool


def build(name: str, config: ProviderConfig, api_key: Secret | None) -> Provider:
    """Opens nothing: connections are made by the first request or `warm_up`."""
    return _openai(name, config, api_key)


def _openai(name: str, config: ProviderConfig, api_key: Secret | None) -> Provider:
    headers = {"Authorization": f"Bearer {api_key.reveal()}"} if api_key else {}
    dialect = Dialect(config.max_tokens_field, config.continuous_usage, config.extensions)
    return OpenAiProvider(_pool(name, config, headers, api_key), dialect)


def _pool(name: str, config: ProviderConfig, headers: dict[str, str], api_key: Secret | None) -> Pool:
    return Pool(
        name,
        config.base_url,
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
