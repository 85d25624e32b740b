"""The `router:` section of the configuration file: providers, targets, models."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from services._runtime.address import is_loopback
from services._runtime.configuration.config import Credential, Section, read_section
from services.router.targets.declaration import (
    MOST_TOKENS_PER_IMAGE,
    Declaration,
    Extension,
    ProviderDeclaration,
    Proxy,
    TargetDeclaration,
    Timeouts,
    TokenCounter,
)
from services.router.targets.media_sources import parse_source
from services.router.targets.option_names import why_never

Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:/@=,-]{0,255}$")]
# What billing's contract takes as the name of a provider.
_LONGEST_BILLED = 128
Positive = Annotated[float, Field(gt=0)]
Option = Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9_-]{0,63}$")]


def _is_source(text: str) -> str:
    parse_source(text)
    return text


CAPABILITIES = Literal[
    "tools",
    "vision",
    "documents",
    "audio",
    "json",
    "json_schema",
    "grammar",
    "reasoning",
    "logprobs",
    "multiple_choices",
]


class ProviderConfig(Section):
    """One provider account: an address and a credential."""

    api: Literal["openai", "anthropic"]
    base_url: Annotated[str, StringConstraints(pattern=r"^https?://[^\s]+$")]
    api_key: Credential | None = None
    # What the provider is reached through. Proxies of the environment are never asked: who sets one would read the key.
    proxy: Annotated[str, StringConstraints(pattern=r"^http://[^\s]+$")] | None = None
    # `user:password` of the proxy.
    proxy_login: Credential | None = None
    # Whether a credential may leave this machine without TLS, because something else protects it.
    allow_insecure: bool = False
    # The name by which prices know the provider; the provider's own name when absent.
    billed_as: Name | None = None
    connect_timeout_seconds: Positive = 5.0
    first_token_timeout_seconds: Positive = 60.0
    between_tokens_timeout_seconds: Positive = 30.0
    # How long a stream may consist of signs of life alone (comments, pings, empty events), before its first token and again between
    # two: each sign then begins the waits above anew. Absent: such signs prolong neither.
    only_pings_timeout_seconds: Positive | None = None
    # An unstreamed answer shows no first token; this bounds all of it.
    whole_answer_timeout_seconds: Positive = 600.0
    max_connections: Annotated[int, Field(ge=1)] = 1024
    keep_alive_seconds: Positive = 60.0
    # Ask for usage in every chunk (vLLM's stream_options.continuous_usage_stats), so that a cancelled stream is counted
    # by the provider instead of estimated.
    continuous_usage: bool = False
    # What OpenAI-compatible servers call the output limit: OpenAI's newer models refuse `max_tokens`, others know only it.
    max_tokens_field: Literal["max_completion_tokens", "max_tokens"] = "max_completion_tokens"
    # What an OpenAI-compatible server takes beyond OpenAI's own API: `top_k` (vLLM, Together, llama.cpp), `grammar`
    # (llama.cpp's, GBNF) and `structured_outputs` (vLLM's, other grammars). What is not declared here is refused, because
    # such a server would ignore it silently.
    extensions: frozenset[Extension] = frozenset()
    # Whether the server takes as the id of a tool call nine letters and digits alone, as Mistral's does.
    nine_letter_tool_call_ids: bool = False
    # Which endpoint the server has to count a prompt's tokens: vLLM's (`vllm`), llama.cpp's (`llama_cpp`) or llama-cpp-python's
    # (`llama_cpp_python`). It is asked by CountTokens, and after an answer that came without usage, which is then an estimate by
    # the server's own tokens.
    token_counter: TokenCounter | None = None
    # What `provider_options` of a request may set: fields of the provider's API that Headgate does not know, such as `min_p`
    # or `repetition_penalty`. Every caller may then set them, to anything. What Headgate sets itself, and what would cost
    # what it can't hold and book, is refused here.
    allowed_provider_options: frozenset[Option] = frozenset()
    # From where requests may have the provider fetch images and documents: scheme://host[:port], with https, http, gs or s3;
    # the host (or bucket) may be `*.a.domain`, for the names below it, or `*`, for every public host. A host that is not public is
    # reached only where it is named. A provider of one's own stands in one's own network: name its sources.
    media_sources: tuple[Annotated[str, AfterValidator(_is_source)], ...] = ("https://*",)

    @model_validator(mode="after")
    def _options_can_be_accounted_for(self) -> Self:
        for name in sorted(self.allowed_provider_options):
            if (reason := why_never(self.api, name)) is not None:
                raise ValueError(f"allowed_provider_options: `{name}` can't be allowed: {reason}")
        return self

    @model_validator(mode="after")
    def _credentials_are_named(self) -> Self:
        if "@" in urlsplit(self.base_url).netloc:
            raise ValueError("base_url: a credential is named, never written: use api_key: {env: NAME}")
        if self.proxy is not None and "@" in urlsplit(self.proxy).netloc:
            raise ValueError("proxy: its login is named, never written: use proxy_login: {env: NAME}")
        if self.proxy_login is not None and self.proxy is None:
            raise ValueError("proxy_login: there is no proxy that it could be for")
        return self

    @model_validator(mode="after")
    def _no_credential_leaves_in_clear(self) -> Self:
        if self.allow_insecure:
            return self
        way = [self.base_url] if self.proxy is None else [self.base_url, self.proxy]
        is_clear = urlsplit(self.base_url).scheme == "http"
        if self.api_key is not None and is_clear and not all(map(_is_here, way)):
            raise ValueError(
                "base_url: without TLS the api_key can be read on its way: use https, or allow_insecure: true when "
                "something else protects it"
            )
        if self.proxy_login is not None and self.proxy is not None and not _is_here(self.proxy):
            raise ValueError(
                "proxy_login: it can be read on its way to the proxy: allow_insecure: true when something else protects it"
            )
        return self

    def declaration(self, environ: Mapping[str, str]) -> ProviderDeclaration:
        """:raises ConfigError: the credential is not where it is said to be"""
        return ProviderDeclaration(
            self.api,
            self.base_url,
            None if self.api_key is None else self.api_key.resolve(environ),
            self.billed_as,
            Timeouts(
                connect=self.connect_timeout_seconds,
                first_token=self.first_token_timeout_seconds,
                between_tokens=self.between_tokens_timeout_seconds,
                only_pings=self.only_pings_timeout_seconds,
                whole_answer=self.whole_answer_timeout_seconds,
            ),
            self.max_connections,
            self.keep_alive_seconds,
            self.continuous_usage,
            self.max_tokens_field,
            self.extensions,
            self._proxy(environ),
            self.allowed_provider_options,
            tuple(map(parse_source, self.media_sources)),
            self.nine_letter_tool_call_ids,
            self.token_counter,
        )

    def _proxy(self, environ: Mapping[str, str]) -> Proxy | None:
        if self.proxy is None:
            return None
        return Proxy(self.proxy, None if self.proxy_login is None else self.proxy_login.resolve(environ))


def _is_here(address: str) -> bool:
    return is_loopback(urlsplit(address).hostname or "")


class TargetConfig(Section):
    """A provider's model that can be asked."""

    provider: Name
    model: Name
    context_window: Annotated[int, Field(ge=1)] | None = None
    max_output_tokens: Annotated[int, Field(ge=1)] | None = None
    # What the model may count for one image at the most, which is what hard budgets and limits on tokens take for it. Absent:
    # what the hungriest of the known models counts. Lower it to what the provider says of this model. Documents, sound and
    # film have no such number: a request that has them needs the target's context_window.
    most_tokens_per_image: Annotated[int, Field(ge=1)] = MOST_TOKENS_PER_IMAGE
    # Targets that have the same here share cached answers. Absent: answers are shared by targets of one provider entry, one
    # base_url and one model. Name it where two accounts lead to the same model.
    answers_as: Name | None = None
    # What the model can do beyond text; absent: everything that its provider's API can express.
    capabilities: frozenset[CAPABILITIES] | None = None

    def declaration(self) -> TargetDeclaration:
        return TargetDeclaration(
            self.provider,
            self.model,
            self.context_window,
            self.max_output_tokens,
            self.capabilities,
            self.most_tokens_per_image,
            self.answers_as,
        )


class ModelConfig(Section):
    """A name that requests use, and the targets that serve it in the order in which they are tried."""

    targets: Annotated[list[Name], Field(min_length=1)]


class RouterConfig(Section):
    """What the operator declares; addresses come from here and never from a request."""

    providers: dict[Name, ProviderConfig] = Field(default_factory=dict)
    targets: dict[Name, TargetConfig] = Field(default_factory=dict)
    models: dict[Name, ModelConfig] = Field(default_factory=dict)
    # How the cache shares answers: only within a key, among a user's keys, or in the whole organisation.
    cache_scope: Literal["key", "user", "organization"] = "user"

    @model_validator(mode="after")
    def _the_ledger_takes_the_names(self) -> Self:
        for name, provider in self.providers.items():
            if len(provider.billed_as or name) > _LONGEST_BILLED:
                raise ValueError(
                    f"providers.{name}.billed_as: must be at most {_LONGEST_BILLED} characters, or nothing that it serves could be "
                    "booked; without billed_as this holds for the provider's own name"
                )
        return self

    @model_validator(mode="after")
    def _names_exist(self) -> Self:
        for name, target in self.targets.items():
            if target.provider not in self.providers:
                raise ValueError(f"targets.{name}.provider: no provider `{target.provider}` is declared")
        for name, model in self.models.items():
            for target_id in model.targets:
                if target_id not in self.targets:
                    raise ValueError(f"models.{name}.targets: no target `{target_id}` is declared")
        return self

    def declaration(self, environ: Mapping[str, str]) -> Declaration:
        return Declaration(
            {name: provider.declaration(environ) for name, provider in self.providers.items()},
            {target_id: target.declaration() for target_id, target in self.targets.items()},
            {name: tuple(model.targets) for name, model in self.models.items()},
            self.cache_scope,
        )


def declared(path: Path, environ: Mapping[str, str]) -> Declaration:
    """Of the file's section, with the credentials that it names in `environ` or in files.

    :raises ConfigError: the file can't be read, its section breaks a rule, or a credential is not there.
    """
    return read_section(path, "router", RouterConfig).declaration(environ)
