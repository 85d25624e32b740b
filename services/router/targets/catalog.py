"""The models, targets and provider accounts that the configuration declares, ready to be routed to."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b

from services.router.targets.declaration import (
    MOST_TOKENS_PER_IMAGE,
    Declaration,
    ProviderDeclaration,
    TargetDeclaration,
)
from services.router.targets.media_sources import PUBLIC_HTTPS, MediaSource
from services.router.targets.provider import Provider


@dataclass(frozen=True, slots=True)
class Target:
    """A provider's model that can be asked.

    `billed_as` is the provider's name in prices. `capabilities` is None when the model is taken to do everything that
    its provider's API can express. A request may set `allowed_provider_options`, and have the provider fetch images and
    documents from `media_sources`, of which an image counts `most_tokens_per_image` at the most. Targets share cached answers
    when `answers_as` is the same.
    """

    target_id: str
    provider_id: str
    billed_as: str
    model: str
    provider: Provider
    context_window: int | None = None
    max_output_tokens: int | None = None
    capabilities: frozenset[str] | None = None
    allowed_provider_options: frozenset[str] = frozenset()
    media_sources: tuple[MediaSource, ...] = PUBLIC_HTTPS
    most_tokens_per_image: int = MOST_TOKENS_PER_IMAGE
    answers_as: str = ""


@dataclass(frozen=True, slots=True)
class Catalog:
    """Targets by id, and for each model the targets that serve it, in order."""

    targets: Mapping[str, Target]
    models: Mapping[str, Sequence[Target]]


def _answers_as(provider: ProviderDeclaration, declared: TargetDeclaration) -> str:
    """What gives an answer is a model at an address; two accounts there are the same only where somebody says so."""
    said = ("at", declared.provider, provider.base_url, declared.model)
    if declared.answers_as is not None:
        said = ("as", declared.answers_as, "", "")
    return blake2b("\n".join(said).encode(), digest_size=16).hexdigest()


def build_catalog(declaration: Declaration, providers: Mapping[str, Provider]) -> Catalog:
    targets = {
        target_id: Target(
            target_id=target_id,
            provider_id=declared.provider,
            billed_as=declaration.providers[declared.provider].billed_as or declared.provider,
            model=declared.model,
            provider=providers[declared.provider],
            context_window=declared.context_window,
            max_output_tokens=declared.max_output_tokens,
            capabilities=declared.capabilities,
            allowed_provider_options=declaration.providers[declared.provider].allowed_provider_options,
            media_sources=declaration.providers[declared.provider].media_sources,
            most_tokens_per_image=declared.most_tokens_per_image,
            answers_as=_answers_as(declaration.providers[declared.provider], declared),
        )
        for target_id, declared in declaration.targets.items()
    }
    models = {
        name: tuple(targets[target_id] for target_id in served_by)
        for name, served_by in declaration.models.items()
    }
    return Catalog(targets, models)
