"""Which requests and answers have to do with the cache, and what tells one question from another."""

from typing import Any

import pytest
from google.protobuf import struct_pb2
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from hypothesis import given
from hypothesis import strategies as st

from headgate.chat.v1 import finish_reason_pb2
from headgate.common.v1 import outcome_pb2
from headgate.router.v1 import completion_pb2
from services.router.answers.cache_policy import (
    NOT_CONTENT,
    coalesce,
    content_of,
    is_worth_keeping,
    may_keep,
    may_look,
)

FIELDS = list(completion_pb2.CompletionRequest.DESCRIPTOR.fields)
CONTENT_FIELDS = [field for field in FIELDS if field.name not in NOT_CONTENT]
ON, OFF, REFRESH = (
    completion_pb2.CACHE_MODE_ON,
    completion_pb2.CACHE_MODE_OFF,
    completion_pb2.CACHE_MODE_REFRESH,
)
BASE = completion_pb2.CompletionRequest(model="m")
Delta = completion_pb2.Delta


def ask(**fields: Any) -> completion_pb2.CompletionRequest:
    return completion_pb2.CompletionRequest(model="m", **fields)


def fill(message: Message, field: FieldDescriptor) -> None:
    """Give the field some value other than its absence."""
    scalars: dict[int, Any] = {FieldDescriptor.CPPTYPE_STRING: "x", FieldDescriptor.CPPTYPE_BOOL: True}
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        getattr(message, field.name)["k"] = "v"
    elif field.message_type is not None and field.is_repeated:
        getattr(message, field.name).add()
    elif field.message_type is not None:
        getattr(message, field.name).SetInParent()
    elif field.is_repeated:
        getattr(message, field.name).append("x")
    else:
        setattr(message, field.name, scalars.get(field.cpp_type, 1))


@pytest.mark.parametrize("field", FIELDS, ids=lambda field: field.name)
def test_each_field_is_a_part_of_the_question_or_is_listed_as_none(field: FieldDescriptor) -> None:
    changed = completion_pb2.CompletionRequest(model="m")
    fill(changed, field)
    assert (content_of(changed) == content_of(BASE)) == (field.name in NOT_CONTENT)


def test_what_is_listed_as_no_part_of_the_question_exists() -> None:
    assert set(NOT_CONTENT) < {field.name for field in FIELDS}


@pytest.mark.parametrize("field", ["temperature", "seed", "top_logprobs", "parallel_tool_calls"])
def test_zero_is_another_question_than_absence(field: str) -> None:
    assert content_of(ask(**{field: 0})) != content_of(ask())


def test_the_request_itself_is_left_as_it_is() -> None:
    request = ask(request_id="r", labels={"a": "b"})
    content_of(request)
    assert request == ask(request_id="r", labels={"a": "b"})


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-1000, 1000) | st.text(max_size=8),
    lambda inner: st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
REQUESTS = st.fixed_dictionaries(
    {},
    optional={
        "prompt": st.text(max_size=20),
        "messages": st.lists(
            st.builds(
                lambda role, texts: {"role": role, "parts": [{"text": text} for text in texts]},
                st.integers(1, 4),
                st.lists(st.text(max_size=8), max_size=3),
            ),
            max_size=3,
        ),
        "temperature": st.floats(0, 2),
        "max_output_tokens": st.integers(1, 1000),
        "seed": st.integers(-5, 5),
        "stop": st.lists(st.text(min_size=1, max_size=4), max_size=3),
        "provider_options": st.dictionaries(st.text(max_size=4), JSON, max_size=3),
    },
)


@given(REQUESTS, REQUESTS)
def test_different_questions_have_different_bytes_and_equal_ones_equal_bytes(
    one: dict[str, Any], other: dict[str, Any]
) -> None:
    first, second = ask(**one), ask(**other)
    assert (content_of(first) == content_of(second)) == (first == second)
    assert content_of(first) == content_of(ask(**one))


def test_the_order_in_which_options_were_given_does_not_matter() -> None:
    forth, back = struct_pb2.Struct(), struct_pb2.Struct()
    forth.update({"a": 1, "b": 2})
    back.update({"b": 2, "a": 1})
    assert content_of(ask(provider_options=forth)) == content_of(ask(provider_options=back))


@pytest.mark.parametrize(
    ("fields", "looks", "keeps"),
    [
        ({}, False, False),
        ({"temperature": 0.5}, False, False),
        ({"temperature": 0}, True, True),
        ({"seed": 0}, True, True),
        ({"cache": {"mode": ON}}, True, True),
        ({"cache": {"mode": ON}, "temperature": 1}, True, True),
        ({"cache": {"mode": OFF}, "temperature": 0}, False, False),
        ({"cache": {"mode": REFRESH}}, False, True),
    ],
)
def test_who_looks_and_who_keeps(fields: dict[str, Any], looks: bool, keeps: bool) -> None:
    assert (may_look(ask(**fields)), may_keep(ask(**fields))) == (looks, keeps)


def finished(reason: finish_reason_pb2.FinishReason.ValueType) -> completion_pb2.CompletionEvent:
    return completion_pb2.CompletionEvent(choice_finished=completion_pb2.ChoiceFinished(finish_reason=reason))


STOP, CALLS = (
    finished(finish_reason_pb2.FINISH_REASON_STOP),
    finished(finish_reason_pb2.FINISH_REASON_TOOL_CALLS),
)


def test_only_whole_answers_are_worth_keeping() -> None:
    kept = [outcome for outcome in outcome_pb2.Outcome.values() if is_worth_keeping(ask(), outcome, [STOP])]
    assert kept == [outcome_pb2.OUTCOME_COMPLETE]


@pytest.mark.parametrize(
    "end",
    [
        finish_reason_pb2.FINISH_REASON_UNSPECIFIED,
        finish_reason_pb2.FINISH_REASON_LENGTH,
        finish_reason_pb2.FINISH_REASON_CONTENT_FILTER,
        finish_reason_pb2.FINISH_REASON_REFUSAL,
        finish_reason_pb2.FINISH_REASON_OTHER,
    ],
)
def test_no_answer_with_another_end_is_kept_whatever_the_request_says(
    end: finish_reason_pb2.FinishReason.ValueType,
) -> None:
    for asked in (ask(temperature=0), ask(cache={"mode": ON}), ask(cache={"mode": REFRESH})):
        assert not is_worth_keeping(asked, outcome_pb2.OUTCOME_COMPLETE, [STOP, finished(end)])


@pytest.mark.parametrize("asked", [{"temperature": 0}, {"cache": {"mode": ON}}, {"cache": {"mode": REFRESH}}])
def test_an_answer_of_which_a_choice_has_no_end_is_not_kept(asked: dict[str, Any]) -> None:
    complete = outcome_pb2.OUTCOME_COMPLETE
    assert not is_worth_keeping(ask(**asked), complete, [])
    assert not is_worth_keeping(ask(choice_count=2, **asked), complete, [STOP])
    assert is_worth_keeping(ask(choice_count=2, **asked), complete, [STOP, STOP])


def test_a_refusal_that_ends_as_any_answer_is_not_kept() -> None:
    refusal = completion_pb2.CompletionEvent(delta=Delta(refusal="no"))
    assert not is_worth_keeping(ask(cache={"mode": ON}), outcome_pb2.OUTCOME_COMPLETE, [refusal, STOP])


def test_tools_in_another_order_are_another_question() -> None:
    """What a model is shown first can change what it says: only what no provider reads may differ."""
    tools = [{"name": "a", "parameters_json": "{}"}, {"name": "b", "parameters_json": "{}"}]
    assert content_of(ask(tools=tools)) != content_of(ask(tools=tools[::-1]))
    spaced = [{**tools[0], "parameters_json": "{ }"}, tools[1]]
    assert content_of(ask(tools=tools)) != content_of(ask(tools=spaced))
    assert content_of(ask(labels={"a": "1", "b": "2"})) == content_of(ask(labels={"c": "3"}))


def test_a_schema_is_a_text_so_another_order_of_its_keys_is_another_question() -> None:
    forth, back = '{"type": "object", "properties": {}}', '{"properties": {}, "type": "object"}'
    one, other = ([{"name": "a", "parameters_json": text}] for text in (forth, back))
    assert content_of(ask(tools=one)) != content_of(ask(tools=other))
    schemas = [{"json_schema": {"name": "a", "schema_json": text}} for text in (forth, back)]
    assert content_of(ask(response_format=schemas[0])) != content_of(ask(response_format=schemas[1]))


def test_tool_calls_are_kept_only_on_request() -> None:
    complete = outcome_pb2.OUTCOME_COMPLETE
    assert not is_worth_keeping(ask(temperature=0), complete, [STOP, CALLS])
    assert is_worth_keeping(ask(cache={"mode": ON}), complete, [STOP, CALLS])


def text(said: str, choice: int = 0) -> completion_pb2.CompletionEvent:
    return completion_pb2.CompletionEvent(sequence=9, delta=Delta(text=said, choice_index=choice))


EVENTS = st.lists(
    st.builds(text, st.text(max_size=600), st.integers(0, 2))
    | st.just(STOP)
    | st.just(completion_pb2.CompletionEvent(delta=Delta(refusal="no"))),
    max_size=30,
)


@given(EVENTS)
def test_coalescing_keeps_every_choices_text_in_order_and_nothing_is_merged_across(
    events: list[completion_pb2.CompletionEvent],
) -> None:
    merged = coalesce(events)
    for choice in range(3):
        assert _text_of(merged, choice) == _text_of(events, choice)
    assert [_shape(event) for event in merged if _shape(event)[0] != "text"] == [
        _shape(event) for event in events if _shape(event)[0] != "text"
    ]
    assert all(event.sequence == 0 for event in merged)
    assert all(len(event.delta.text) < 1024 + 600 for event in merged)


def test_coalescing_makes_fewer_events_and_leaves_the_given_ones_alone() -> None:
    events = [text("a"), text("b"), text("c"), STOP]
    assert [_shape(event) for event in coalesce(events)] == [("text", "abc"), ("choice_finished", "")]
    assert events[0].delta.text == "a"


def _text_of(events: list[completion_pb2.CompletionEvent], choice: int) -> str:
    return "".join(event.delta.text for event in events if event.delta.choice_index == choice)


def _shape(event: completion_pb2.CompletionEvent) -> tuple[str, str]:
    if event.HasField("delta"):
        return event.delta.WhichOneof("content") or "", event.delta.text
    return event.WhichOneof("event") or "", ""
