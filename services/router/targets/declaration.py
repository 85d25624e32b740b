"""What the configuration file declares, as plain values: pydantic, which has checked them, stays out of the process."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from services._runtime.configuration.environment import Secret
from services.router.targets.media_sources import PUBLIC_HTTPS, MediaSource

# Of the models whose counting is published, gpt-4o-mini counts an image highest: 2,833 + 8 x 5,667.
MOST_TOKENS_PER_IMAGE = 48_169
Extension = Literal["top_k", "grammar", "structured_outputs"]
TokenCounter = Literal["vllm", "llama_cpp", "llama_cpp_python"]
"""The server whose way to count a prompt's tokens an OpenAI-compatible server has."""


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds that an attempt may take until something happens. Signs of life without content are no token."""

    connect: float = 5.0
    first_token: float = 60.0
    between_tokens: float = 30.0
    # How long a stream may bring signs of life alone, before its first token and between two; None: no longer than without.
    only_pings: float | None = None
    # An unstreamed answer shows no first token; this bounds all of it.
    whole_answer: float = 600.0


@dataclass(frozen=True, slots=True)
class Proxy:
    """What a provider is reached through; `login` is `user:password`."""

    url: str
    login: Secret | None = None


@dataclass(frozen=True, slots=True)
class ProviderDeclaration:
    """One provider account. `billed_as` is the provider's name in prices; None: as it is named here.

    `max_tokens_field`, `continuous_usage`, `extensions`, `nine_letter_tool_call_ids` and `token_counter` say what an OpenAI-compatible server takes. A request may set
    `allowed_provider_options`, and have the provider fetch from `media_sources`.
    """

    api: Literal["openai", "anthropic"]
    base_url: str
    api_key: Secret | None
    billed_as: str | None
    timeouts: Timeouts
    max_connections: int
    keep_alive_seconds: float
    continuous_usage: bool
    max_tokens_field: str
    extensions: frozenset[Extension]
    proxy: Proxy | None = None
    allowed_provider_options: frozenset[str] = frozenset()
    media_sources: tuple[MediaSource, ...] = PUBLIC_HTTPS
    nine_letter_tool_call_ids: bool = False
    token_counter: TokenCounter | None = None


@dataclass(frozen=True, slots=True)
class TargetDeclaration:
    """A provider's model that can be asked. `capabilities` None: all that its provider's API can express."""

    provider: str
    model: str
    context_window: int | None
    max_output_tokens: int | None
    capabilities: frozenset[str] | None
    most_tokens_per_image: int = MOST_TOKENS_PER_IMAGE
    answers_as: str | None = None


@dataclass(frozen=True, slots=True)
class Declaration:
    """The `router:` section. `models` has for each name the targets that serve it, in order."""

    providers: Mapping[str, ProviderDeclaration] = field(default_factory=dict)
    targets: Mapping[str, TargetDeclaration] = field(default_factory=dict)
    models: Mapping[str, Sequence[str]] = field(default_factory=dict)
    cache_scope: Literal["key", "user", "organization"] = "user"

    def secrets(self) -> Iterator[str]:
        """Every credential: what nobody but its provider, or its proxy, is told."""
        for provider in self.providers.values():
            if provider.api_key is not None:
                yield provider.api_key.reveal()
            if provider.proxy is not None and provider.proxy.login is not None:
                yield provider.proxy.login.reveal()
