"""What gives an answer: a provider entry, its address and a model, or what the operator calls them."""

from typing import Any

from services.router.targets.catalog import build_catalog
from services.router.targets.config import RouterConfig
from tests.support.router_peers import ScriptedProvider

ADDRESS = "https://a.example/v1"


def answers_as(provider: str = "one", base_url: str = ADDRESS, billed_as: str = "sim", **target: Any) -> str:
    config = RouterConfig.model_validate(
        {
            "providers": {provider: {"api": "openai", "base_url": base_url, "billed_as": billed_as}},
            "targets": {"t": {"provider": provider, "model": "m", **target}},
        }
    )
    return build_catalog(config.declaration({}), {provider: ScriptedProvider([])}).targets["t"].answers_as


def test_each_part_of_it_tells_answers_apart() -> None:
    told = {
        answers_as(),
        answers_as(provider="two"),
        answers_as(base_url="https://b.example/v1"),
        answers_as(model="n"),
        answers_as(answers_as="small"),
    }
    assert len(told) == 5


def test_what_it_is_billed_as_is_no_part_of_it() -> None:
    assert answers_as() == answers_as(billed_as="other")


def test_it_is_the_same_after_every_start_and_with_whatever_does_not_answer() -> None:
    assert answers_as() == answers_as(context_window=1000)


def test_what_is_declared_is_all_of_it() -> None:
    named = answers_as(answers_as="small")
    assert named == answers_as(provider="two", base_url="https://b.example/v1", model="n", answers_as="small")
