"""Which targets may serve a request, and the field that every refusal names."""

from collections.abc import Sequence
from typing import Any

import pytest
from buf.validate import validate_pb2
from hypothesis import given
from hypothesis import strategies as st

from headgate.billing.v1.billing_service_pb2 import CaptureRequest
from headgate.chat.v1 import message_pb2, tool_pb2
from headgate.router.v1 import completion_pb2
from services._runtime.errors import GatewayError, InvalidFieldError
from services.router.errors import (
    ContextLengthExceededError,
    ModelNotFoundError,
    UnsupportedByTargetError,
)
from services.router.targets.catalog import Catalog, Target
from services.router.targets.media_sources import MediaSource
from services.router.targets.provider import Unsupported
from services.router.targets.routing import Plan, make_plan, normalise
from tests.support.router_peers import ScriptedProvider

ASSISTANT, TOOL, USER = message_pb2.ROLE_ASSISTANT, message_pb2.ROLE_TOOL, message_pb2.ROLE_USER
PICTURE = message_pb2.Part(blob=message_pb2.Blob(media_type="image/png", data=b"png"))
CALL = message_pb2.Part(tool_call=message_pb2.ToolCall(id="c1", name="weather"))
RESULT = message_pb2.Part(tool_result=message_pb2.ToolResult(tool_call_id="c1"))


def target(target_id: str, unsupported: Sequence[Unsupported] = (), **fields: Any) -> Target:
    provider = ScriptedProvider([], unsupported=unsupported)
    return Target(target_id, "sim", "sim", f"sim-{target_id}", provider, **fields)


def catalog(**models: Sequence[Target]) -> Catalog:
    return Catalog({t.target_id: t for targets in models.values() for t in targets}, models)


def ask(*messages: message_pb2.Message, model: str = "m", **fields: Any) -> completion_pb2.CompletionRequest:
    conversation = messages or (turn(USER, message_pb2.Part(text="hi")),)
    return completion_pb2.CompletionRequest(model=model, messages=conversation, **fields)


def turn(role: message_pb2.Role.ValueType, *parts: message_pb2.Part) -> message_pb2.Message:
    return message_pb2.Message(role=role, parts=parts)


def served_by(plan: Plan) -> list[str]:
    return [target.target_id for target in plan.targets]


def refused(request: completion_pb2.CompletionRequest, known: Catalog, kind: type[GatewayError]) -> list[str]:
    """The fields that the refusal names."""
    with pytest.raises(kind) as refusal:
        make_plan(request, known)
    return [violation.field for violation in refusal.value.field_violations]


def test_a_prompt_is_one_user_message() -> None:
    request = normalise(completion_pb2.CompletionRequest(model="m", prompt="hi"))
    assert request.prompt == ""
    assert request.messages == [turn(USER, message_pb2.Part(text="hi"))]


def test_a_conversation_is_left_as_it_is() -> None:
    request = ask()
    assert normalise(request) is request


def test_targets_are_tried_in_the_order_of_the_model_then_of_its_fallbacks_and_none_twice() -> None:
    a, b, c = target("a"), target("b"), target("c")
    known = catalog(m=[b, a], other=[a, c])
    assert served_by(make_plan(ask(fallback_models=["other"]), known)) == ["b", "a", "c"]


def test_no_more_targets_are_tried_than_billing_takes_records_of_one_completion() -> None:
    plan = make_plan(ask(), catalog(m=[target(f"t{number}") for number in range(100)]))
    rules = CaptureRequest.DESCRIPTOR.fields_by_name["records"].GetOptions().Extensions[validate_pb2.field]
    assert len(plan.targets) == rules.repeated.max_items


def test_an_unknown_model_is_refused_with_those_that_are_known() -> None:
    known = catalog(m=[target("a")])
    assert refused(ask(model="gpt"), known, ModelNotFoundError) == ["model"]
    with pytest.raises(ModelNotFoundError, match="`gpt`; known are m"):
        make_plan(ask(model="gpt"), known)


def test_an_unknown_fallback_is_refused() -> None:
    known = catalog(m=[target("a")])
    assert refused(ask(fallback_models=["m", "gpt"]), known, ModelNotFoundError) == ["fallback_models[1]"]


@pytest.mark.parametrize(
    ("role", "part", "field"),
    [
        (USER, CALL, "messages[0].parts[0].tool_call"),
        (
            USER,
            message_pb2.Part(reasoning=message_pb2.Reasoning(text="hm")),
            "messages[0].parts[0].reasoning",
        ),
        (USER, RESULT, "messages[0].parts[0].tool_result"),
        (ASSISTANT, PICTURE, "messages[0].parts[0].blob"),
        (TOOL, message_pb2.Part(text="42"), "messages[0].parts[0].text"),
    ],
)
def test_a_part_in_a_message_of_the_wrong_role_is_refused(
    role: message_pb2.Role.ValueType, part: message_pb2.Part, field: str
) -> None:
    assert field in refused(ask(turn(role, part)), catalog(m=[target("a")]), InvalidFieldError)


def test_a_result_of_a_call_that_nobody_made_is_refused() -> None:
    known = catalog(m=[target("a")])
    assert refused(ask(turn(TOOL, RESULT)), known, InvalidFieldError) == [
        "messages[0].parts[0].tool_result.tool_call_id"
    ]
    assert served_by(make_plan(ask(turn(ASSISTANT, CALL), turn(TOOL, RESULT)), known)) == ["a"]


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"tools": [tool_pb2.Tool(name="a"), tool_pb2.Tool(name="a")]}, "tools"),
        (
            {"tools": [tool_pb2.Tool(name="a")], "tool_choice": tool_pb2.ToolChoice(name="b")},
            "tool_choice.name",
        ),
        ({"tool_choice": tool_pb2.ToolChoice(mode=tool_pb2.TOOL_CHOICE_MODE_AUTO)}, "tool_choice"),
    ],
)
def test_tools_that_do_not_fit_together_are_refused(fields: dict[str, Any], field: str) -> None:
    assert refused(ask(**fields), catalog(m=[target("a")]), InvalidFieldError) == [field]


def test_a_target_that_cannot_express_the_request_is_passed_over() -> None:
    unable = target("a", [Unsupported("seed", "has no seed")])
    assert served_by(make_plan(ask(seed=1), catalog(m=[unable, target("b")]))) == ["b"]


def test_when_no_target_is_able_each_says_why() -> None:
    known = catalog(
        m=[target("a", [Unsupported("seed", "has no seed")]), target("b", capabilities=frozenset())]
    )
    fields = refused(ask(seed=1, tools=[tool_pb2.Tool(name="x")]), known, UnsupportedByTargetError)
    assert fields == ["seed", "tools"]


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (ask(tools=[tool_pb2.Tool(name="x")]), "tools"),
        (ask(top_logprobs=0), "top_logprobs"),
        (ask(choice_count=2), "choice_count"),
        (ask(reasoning={"effort": "low"}), "reasoning"),
        (ask(response_format={"json": {}}), "response_format.json"),
        (ask(response_format={"json_schema": {"name": "x"}}), "response_format.json_schema"),
        (ask(response_format={"grammar": {"syntax": "gbnf"}}), "response_format.grammar"),
        (ask(turn(USER, PICTURE)), "messages[0].parts[0].blob"),
        (
            ask(
                turn(
                    USER,
                    message_pb2.Part(
                        uri=message_pb2.Uri(uri="https://images.example/x", media_type="audio/wav")
                    ),
                )
            ),
            "messages[0].parts[0].uri",
        ),
        (
            ask(
                turn(
                    USER,
                    message_pb2.Part(
                        uri=message_pb2.Uri(uri="https://images.example/x", media_type="application/pdf")
                    ),
                )
            ),
            "messages[0].parts[0].uri",
        ),
    ],
)
def test_what_a_model_is_said_to_be_unable_to_do_is_refused(
    request_: completion_pb2.CompletionRequest, field: str
) -> None:
    plain = target("a", capabilities=frozenset())
    assert refused(request_, catalog(m=[plain]), UnsupportedByTargetError) == [field]
    assert served_by(make_plan(request_, catalog(m=[plain, target("b")]))) == ["b"]


def test_a_target_that_takes_no_such_option_is_passed_over() -> None:
    taking = target("b", allowed_provider_options=frozenset({"min_p"}))
    request = ask()
    request.provider_options.update({"min_p": 0.1})
    assert served_by(make_plan(request, catalog(m=[target("a"), taking]))) == ["b"]
    assert refused(request, catalog(m=[target("a")]), UnsupportedByTargetError) == ["provider_options.min_p"]
    request.provider_options.update({"best_of": 1000})
    assert refused(request, catalog(m=[taking]), InvalidFieldError) == ["provider_options.best_of"]


def picture_at(uri: str) -> message_pb2.Part:
    return message_pb2.Part(uri=message_pb2.Uri(uri=uri))


def test_what_is_no_address_is_refused_whoever_might_fetch_it() -> None:
    known = catalog(m=[target("a")])
    said = turn(USER, message_pb2.Part(text="what are these?"), picture_at("file:///etc/passwd"))
    request = ask(said, turn(USER, picture_at("https://a.example/x\r\n")))
    fields = ["messages[0].parts[1].uri.uri", "messages[1].parts[0].uri.uri"]
    assert refused(request, known, InvalidFieldError) == fields


def test_a_target_whose_provider_may_not_fetch_from_there_is_passed_over() -> None:
    near = target("b", media_sources=(MediaSource("http", "images.internal", None),))
    request = ask(turn(USER, picture_at("http://images.internal/x.png")))
    assert served_by(make_plan(request, catalog(m=[target("a"), near]))) == ["b"]
    fields = refused(request, catalog(m=[target("a")]), UnsupportedByTargetError)
    assert fields == ["messages[0].parts[0].uri.uri"]


def test_a_target_without_room_is_passed_over() -> None:
    small, large = target("a", context_window=10), target("b", context_window=1000)
    request = ask(turn(USER, message_pb2.Part(text="x" * 400)))
    assert served_by(make_plan(request, catalog(m=[small, large]))) == ["b"]


def test_a_conversation_that_fits_nowhere_is_refused() -> None:
    known = catalog(m=[target("a", context_window=10)])
    request = ask(turn(USER, message_pb2.Part(text="x" * 400)))
    assert refused(request, known, ContextLengthExceededError) == ["messages"]


def test_an_answer_that_is_longer_than_any_target_gives_is_refused() -> None:
    known = catalog(m=[target("a", max_output_tokens=10), target("b", max_output_tokens=20)])
    assert refused(ask(max_output_tokens=21), known, ContextLengthExceededError) == ["max_output_tokens"]
    assert served_by(make_plan(ask(max_output_tokens=20), known)) == ["b"]


@given(
    windows=st.lists(st.none() | st.integers(1, 300), min_size=1, max_size=5),
    text=st.text(max_size=400),
    wanted=st.integers(0, 200),
)
def test_a_plan_holds_exactly_the_targets_that_fit_in_their_order(
    windows: list[int | None], text: str, wanted: int
) -> None:
    targets = [target(str(index), context_window=window) for index, window in enumerate(windows)]
    request = ask(turn(USER, message_pb2.Part(text=text)))
    if wanted:
        request.max_output_tokens = wanted
    try:
        plan = make_plan(request, catalog(m=targets))
    except ContextLengthExceededError:
        assert None not in windows
        return
    fits = [t for t in targets if t.context_window is None or plan.input_tokens + wanted <= t.context_window]
    assert list(plan.targets) == fits
