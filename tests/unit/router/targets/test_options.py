"""Which provider options an operator may allow, which of a request a target takes, and what they multiply."""

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.router.v1 import completion_pb2
from services.router.targets.config import ProviderConfig
from services.router.targets.option_names import OWN, why_never
from services.router.targets.options import (
    DEEPEST,
    MOST_BYTES,
    MOST_CANDIDATES,
    answers_generated,
    check_options,
    closed_options,
)

PRICED = ("models", "route", "fallbacks", "provider", "web_search_options", "plugins", "mcp_servers", "speed")
LIMITS = (
    "max_new_tokens",
    "max_completion_tokens",
    "max_length",
    "n_predict",
    "maxTokens",
    "Max_Tokens",
    "max-tokens",
)


def ask(options: dict[str, Any] | None = None, **fields: Any) -> completion_pb2.CompletionRequest:
    request = completion_pb2.CompletionRequest(**fields)
    if options is not None:
        request.provider_options.update(options)
    return request


def wrong(options: dict[str, Any], **fields: Any) -> list[str]:
    return [each.field for each in check_options(ask(options, **fields))]


def configured(api: str, *allowed: str) -> ProviderConfig:
    return ProviderConfig.model_validate(
        {"api": api, "base_url": "https://a.example", "allowed_provider_options": allowed}
    )


def nested(levels: int, *, as_list: bool) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value] if as_list else {"a": value}
    return value


@pytest.mark.parametrize("api", ["openai", "anthropic"])
def test_nothing_is_allowed_unless_the_operator_says_so(api: str) -> None:
    assert configured(api).allowed_provider_options == frozenset()
    assert configured(api, "min_p", "best_of").allowed_provider_options == {"min_p", "best_of"}


@pytest.mark.parametrize("api", ["openai", "anthropic"])
def test_what_headgate_sets_itself_is_never_allowed(api: str) -> None:
    for name in OWN[api]:
        with pytest.raises(
            ValueError, match=f"allowed_provider_options: `{name}` can't be allowed: Headgate sets"
        ):
            configured(api, name)


@pytest.mark.parametrize("api", ["openai", "anthropic"])
@pytest.mark.parametrize(
    "name",
    [
        *PRICED,
        *LIMITS,
        "n",
        "tools",
        "functions",
        "api_base",
        "chat_template",
        "extra_body",
        "generationConfig",
        "BestOf",
    ],
)
def test_what_limits_and_ledger_could_not_follow_is_never_allowed(api: str, name: str) -> None:
    with pytest.raises(ValueError, match=f"allowed_provider_options: `{name}` can't be allowed: .{{10}}"):
        configured(api, name)


@pytest.mark.parametrize("name", ["", "a.b", "a b", "$schema", "a" * 65, "ä"])
def test_a_name_that_no_api_has_is_not_taken(name: str) -> None:
    with pytest.raises(ValueError, match="allowed_provider_options"):
        configured("openai", name)


@pytest.mark.parametrize(
    "name", ["min_p", "repetition_penalty", "store", "lora_request", "prompt_logprobs", "best_of"]
)
def test_the_rest_is_the_operators_word(name: str) -> None:
    assert why_never("openai", name) is None


def test_a_target_takes_what_is_allowed_and_the_rest_is_named_with_the_remedy() -> None:
    request = ask({"min_p": 0.1, "store": True, "best_of": 2})
    (closed, other) = closed_options(request, frozenset({"min_p"}))
    assert (closed.field, other.field) == ("provider_options.best_of", "provider_options.store")
    assert "`allowed_provider_options`" in closed.reason
    assert list(closed_options(request, frozenset({"min_p", "store", "best_of"}))) == []
    assert list(closed_options(ask(), frozenset())) == []


@pytest.mark.parametrize("name", ["", "a\nb", "\x1b[2J", "x" * 65, "ä"])
def test_a_name_that_could_command_a_terminal_is_not_repeated(name: str) -> None:
    assert [each.field for each in closed_options(ask({name: 1}), frozenset())] == ["provider_options"]


def test_options_have_a_size() -> None:
    room = MOST_BYTES - ask({"a": ""}).provider_options.ByteSize()
    assert wrong({"a": "x" * (room - 10)}) == []
    assert wrong({"a": "x" * (room + 1)}) == ["provider_options"]


@pytest.mark.parametrize("as_list", [True, False])
def test_options_have_a_depth(as_list: bool) -> None:
    assert wrong({"a": nested(DEEPEST, as_list=as_list)}) == []
    assert wrong({"a": nested(DEEPEST + 1, as_list=as_list)}) == ["provider_options"]


@pytest.mark.parametrize("value", [0, -1, 1.5, MOST_CANDIDATES + 1, "2", True, None, [2], math.nan, math.inf])
def test_best_of_is_a_whole_number_that_can_be_held_for(value: Any) -> None:
    assert wrong({"best_of": value}) == ["provider_options.best_of"]


@pytest.mark.parametrize("name", ["min_tokens", "min_new_tokens"])
@pytest.mark.parametrize(
    ("value", "fits"), [(0, True), (10, True), (11, False), (-1, False), (1.5, False), ("1", False)]
)
def test_the_least_output_is_at_most_the_most(name: str, value: Any, fits: bool) -> None:
    expected = [] if fits else [f"provider_options.{name}"]
    assert wrong({name: value}, max_output_tokens=10) == expected
    assert wrong({name: value}) == [f"provider_options.{name}"]


def test_every_candidate_is_an_answer_that_is_generated() -> None:
    assert answers_generated(ask()) == 1
    assert answers_generated(ask({"min_p": 1})) == 1
    assert answers_generated(ask(choice_count=3)) == 3
    assert answers_generated(ask({"best_of": 5})) == 5
    # The best three of five are returned; five are generated.
    assert answers_generated(ask({"best_of": 5}, choice_count=3)) == 5
    assert answers_generated(ask({"best_of": 1}, choice_count=3)) == 3


@given(st.integers(1, MOST_CANDIDATES), st.integers(1, 16))
def test_never_fewer_answers_are_counted_than_are_returned(best_of: int, choices: int) -> None:
    request = ask({"best_of": best_of}, choice_count=choices)
    assert wrong({"best_of": best_of}) == []
    assert answers_generated(request) == max(best_of, choices)
