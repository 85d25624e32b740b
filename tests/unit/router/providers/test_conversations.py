"""A conversation that one provider began is valid at the next, and what a provider alone can use goes back to it alone."""

import json
import re
from itertools import pairwise
from typing import Any

import msgspec
import pytest
from google.protobuf import json_format
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from headgate.chat.v1 import message_pb2
from headgate.router.v1 import completion_pb2
from services._runtime.rpc.validation import validate
from services._runtime.telemetry.masking import Masking
from services.router.answers.collect import collect
from services.router.providers import anthropic_body, anthropic_fit, openai_body, openai_fit
from services.router.providers.anthropic_answer import AnthropicReader
from services.router.providers.openai_answer import OpenAiReader
from services.router.providers.openai_dialect import Dialect
from services.router.targets.conversation import check_conversation
from tests.support.sdk_types import check_body
from tests.support.shapes import anthropic, openai
from tests.support.shapes.shape import sse

APIS = ("openai", "anthropic")
HI = {"role": "ROLE_USER", "parts": [{"text": "hi"}]}


def said(*parts: Any) -> Any:
    return {"role": "ROLE_ASSISTANT", "parts": list(parts)}


def called(call_id: str, **fields: Any) -> Any:
    return {"toolCall": {"id": call_id, "name": "f", "argumentsJson": "{}", **fields}}


def resulted(*call_ids: str) -> Any:
    results = [{"toolResult": {"toolCallId": each, "text": f"{at}"}} for at, each in enumerate(call_ids)]
    return {"role": "ROLE_TOOL", "parts": results}


def request(*messages: Any, **fields: Any) -> completion_pb2.CompletionRequest:
    asked = json_format.ParseDict({"messages": list(messages), **fields}, completion_pb2.CompletionRequest())
    check_conversation(asked)
    return asked


def body(api: str, asked: completion_pb2.CompletionRequest, provider: str = "", **dialect: Any) -> Any:
    if api == "anthropic":
        assert list(anthropic_fit.misfits(asked)) == []
        made = anthropic_body.body_of(
            "m", asked, streamed=False, max_output_tokens=9, provider=provider or api
        )
    else:
        assert list(openai_fit.misfits(asked, Dialect(**dialect))) == []
        made = openai_body.body_of(
            "m", asked, Dialect(**dialect), streamed=False, max_output_tokens=9, provider=provider or api
        )
    check_body(api, made)
    return json.loads(made)


def ids(turns: list[Any]) -> tuple[list[str], list[str]]:
    """Of calls and of results, in order."""
    blocks = [block for turn in turns if isinstance(turn["content"], list) for block in turn["content"]]
    calls = [call["id"] for turn in turns for call in turn.get("tool_calls", ())]
    results = [turn["tool_call_id"] for turn in turns if turn["role"] == "tool"]
    calls += [block["id"] for block in blocks if block["type"] == "tool_use"]
    results += [block["tool_use_id"] for block in blocks if block["type"] == "tool_result"]
    return calls, results


@pytest.mark.parametrize("api", APIS)
@pytest.mark.parametrize(
    "call_ids",
    [
        ["functions.x:0"],
        ["call_0", "call_0"],
        ["c" * 200],
        ["a b", "ä", "a.b"],
        ["\n"],
        ["call_0", "call_0", "call_1"],
    ],
)
def test_ids_of_calls_are_what_the_target_takes_and_unique_over_turns(api: str, call_ids: list[str]) -> None:
    turns = [turn for each in call_ids for turn in (said(called(each)), resulted(each), HI)]
    calls, results = ids(body(api, request(HI, *turns))["messages"])
    assert calls == results
    assert len(set(calls)) == len(call_ids)
    fits = r"[A-Za-z0-9_-]{1,64}" if api == "anthropic" else r"(?s).{1,40}"
    assert all(re.fullmatch(fits, each) for each in calls)


@pytest.mark.parametrize("api", APIS)
def test_two_calls_of_one_turn_with_one_id_have_a_result_each(api: str) -> None:
    asked = request(HI, said(called("c"), called("c")), resulted("c", "c"), HI)
    calls, results = ids(body(api, asked)["messages"])
    assert calls == results
    assert len(set(calls)) == 2


@pytest.mark.parametrize("api", APIS)
def test_ids_that_fit_stay_and_a_longer_conversation_changes_none(api: str) -> None:
    turns = [HI, said(called("call_a")), resulted("call_a"), HI, said(called("x:0")), resulted("x:0"), HI]
    shorter, _ = ids(body(api, request(*turns[:4]))["messages"])
    longer, _ = ids(body(api, request(*turns))["messages"])
    assert shorter == longer[:1] == ["call_a"]


def test_a_server_of_nine_letters_gets_nine() -> None:
    asked = request(
        HI, said(called("call_0")), resulted("call_0"), HI, said(called("abcDEF123")), resulted("abcDEF123")
    )
    calls, results = ids(body("openai", asked, nine_letter_ids=True)["messages"])
    assert calls == results == ["c00000000", "abcDEF123"]


@pytest.mark.parametrize("blank", ["", " ", "\n\t"])
def test_blank_texts_are_left_out_where_they_are_refused(blank: str) -> None:
    asked = request(
        {"role": "ROLE_SYSTEM", "parts": [{"text": blank}, {"text": "be"}]},
        {"role": "ROLE_USER", "parts": [{"text": blank}, {"text": "hi"}]},
        said({"text": blank}),
        HI,
    )
    made = body("anthropic", asked)
    assert made["system"] == [{"type": "text", "text": "be"}]
    assert made["messages"] == [{"role": "user", "content": [{"type": "text", "text": "hi"}] * 2}]


def test_what_the_model_is_to_go_on_with_ends_without_white_space() -> None:
    made = body("anthropic", request(HI, said({"text": "Well, \n"})))
    assert made["messages"][-1]["content"] == [{"type": "text", "text": "Well,"}]


def test_instructions_alone_are_what_the_user_says() -> None:
    made = body("anthropic", request({"role": "ROLE_SYSTEM", "parts": [{"text": "Write a haiku."}]}))
    assert "system" not in made
    assert made["messages"] == [{"role": "user", "content": [{"type": "text", "text": "Write a haiku."}]}]


def test_results_come_first_in_their_turn() -> None:
    asked = request(HI, said(called("c")), HI, resulted("c"))
    assert [each["type"] for each in body("anthropic", asked)["messages"][-1]["content"]] == [
        "tool_result",
        "text",
    ]


# Reasoning, state and sources.


@pytest.mark.parametrize("api", APIS)
def test_reasoning_of_another_provider_is_left_out(api: str) -> None:
    for reasoning in (
        {"text": "hm", "provider": "other"},
        {"text": "hm", "signature": "s", "provider": "other"},
        {"redactedData": "x", "provider": "other"},
        {"stateJson": '{"reasoning_details":[{}]}', "provider": "other"},
    ):
        made = body(api, request(HI, said({"reasoning": reasoning}, {"text": "so"}), HI))
        assert made == body(api, request(HI, said({"text": "so"}), HI))
        made = body(api, request(HI, said({"reasoning": reasoning}), HI))
        assert made["messages"] == body(api, request(HI, HI))["messages"]


def read(api: str, answer: bytes, provider: str, *, streamed: bool) -> message_pb2.Message:
    """What callers get, ready to be sent back."""
    reader = (
        OpenAiReader(1, Masking(()), provider) if api == "openai" else AnthropicReader(Masking(()), provider)
    )
    if not streamed:
        chunks = [reader.read_body(answer)]
    else:
        events = [each.partition(b"data: ")[2] for each in answer.split(b"\n\n") if each]
        chunks = [chunk for event in events if (chunk := reader.read_events([event])) is not None]
    assert reader.whole
    message = collect(event for chunk in chunks for event in chunk.events).choices[0].message
    validate(completion_pb2.CompletionRequest(model="m", messages=[message]))
    return message


def goes_back(api: str, message: message_pb2.Message, provider: str) -> Any:
    """The turn as its own provider gets it."""
    results = [part.tool_call.id for part in message.parts if part.HasField("tool_call")]
    turns = [HI, json_format.MessageToDict(message), *([resulted(*results)] if results else []), HI]
    return body(api, request(*turns), provider)["messages"][1]


SIGNED = {"google": {"thought_signature": "c2lnbmVk"}}
DETAILS = [
    {"type": "reasoning.text", "text": "hm", "signature": "s", "index": 0, "format": "anthropic-claude-v1"},
    {"type": "reasoning.encrypted", "data": "abc=", "id": "r1", "index": 1},
]


@pytest.mark.parametrize("streamed", [True, False], ids=["streamed", "whole"])
def test_a_thought_signature_of_a_call_goes_back_to_who_gave_it(streamed: bool) -> None:
    call = openai.piece("get_weather", openai.OSLO, index=0, id="a") | {"extra_content": SIGNED}
    answer = (
        openai.answer(openai.calls(call), reason="tool_calls")
        if streamed
        else openai.body({"content": None, "tool_calls": [call]}, "tool_calls")
    )
    message = read("openai", answer, "gemini", streamed=streamed)
    (sent,) = goes_back("openai", message, "gemini")["tool_calls"]
    assert sent["extra_content"] == SIGNED
    (elsewhere,) = goes_back("openai", message, "other")["tool_calls"]
    assert "extra_content" not in elsewhere
    assert goes_back("anthropic", message, "anthropic")["content"][0]["type"] == "tool_use"


def test_a_signature_that_comes_after_its_call_is_of_it() -> None:
    answer = openai.answer(
        openai.calls(openai.piece("f", "{}", index=0, id="a"), openai.piece("g", "{}", index=1, id="b")),
        openai.calls({"index": 1, "id": "b", "extra_content": SIGNED}),
        reason="tool_calls",
    )
    message = read("openai", answer, "gemini", streamed=True)
    assert [part.tool_call.state_json != "" for part in message.parts] == [False, True]


@pytest.mark.parametrize("streamed", [True, False], ids=["streamed", "whole"])
def test_a_signature_of_a_text_goes_back(streamed: bool) -> None:
    said_so = {"content": "hi", "extra_content": SIGNED}
    answer = openai.answer(openai.chunk(said_so)) if streamed else openai.body(said_so)
    sent = goes_back("openai", read("openai", answer, "gemini", streamed=streamed), "gemini")
    assert (sent["content"], sent["extra_content"]) == ("hi", SIGNED)


@pytest.mark.parametrize("streamed", [True, False], ids=["streamed", "whole"])
def test_blocks_of_reasoning_go_back_each_by_itself(streamed: bool) -> None:
    pieces = [
        {"reasoning": "h", "reasoning_details": [DETAILS[0] | {"text": "h", "signature": None}]},
        {"reasoning": "m", "reasoning_details": [DETAILS[0] | {"text": "m"}]},
        {"reasoning_details": [DETAILS[1]]},
        {"content": "so"},
    ]
    whole = {"content": "so", "reasoning": "hm", "reasoning_details": DETAILS}
    answer = openai.answer(*map(openai.chunk, pieces)) if streamed else openai.body(whole)
    message = read("openai", answer, "openrouter", streamed=streamed)
    sent = goes_back("openai", message, "openrouter")
    assert sent["reasoning_details"] == DETAILS
    assert "reasoning_content" not in sent
    assert "reasoning_details" not in goes_back("openai", message, "other")


@pytest.mark.parametrize("streamed", [True, False], ids=["streamed", "whole"])
def test_two_blocks_with_nothing_but_a_signature_are_two(streamed: bool) -> None:
    blocks = [{"type": "thinking", "thinking": "", "signature": each} for each in ("S1", "S2")]
    hidden = {"type": "redacted_thinking", "data": "x="}
    answer = anthropic.body(*blocks, hidden, blocks[0] | {"thinking": "hm"}, anthropic.HI)
    if streamed:
        empty = {"type": "thinking", "thinking": "", "signature": ""}
        answer = anthropic.answer(
            *(
                anthropic.block(at, empty, {"type": "signature_delta", "signature": each["signature"]})
                for at, each in enumerate(blocks)
            ),
            anthropic.block(2, hidden),
            anthropic.block(
                3,
                empty,
                {"type": "thinking_delta", "thinking": "hm"},
                {"type": "signature_delta", "signature": "S1"},
            ),
            anthropic.text(index=4),
        )
    sent = goes_back("anthropic", read("anthropic", answer, "anthropic", streamed=streamed), "anthropic")
    assert sent["content"] == [*blocks, hidden, blocks[0] | {"thinking": "hm"}, anthropic.HI]


CITED = {
    "type": "char_location",
    "cited_text": "The sky is blue.",
    "document_index": 0,
    "document_title": "Sky",
    "start_char_index": 0,
    "end_char_index": 16,
}


@pytest.mark.parametrize("streamed", [True, False], ids=["streamed", "whole"])
def test_citations_stay_with_their_text_and_go_back(streamed: bool) -> None:
    blocks: list[dict[str, Any]] = [
        {"type": "text", "text": "It is "},
        {"type": "text", "text": "blue", "citations": [CITED, CITED | {"document_index": 1}]},
        {"type": "text", "text": "."},
    ]
    answer = anthropic.body(*blocks)
    if streamed:
        answer = anthropic.answer(
            *(
                anthropic.block(
                    at,
                    {"type": "text", "text": ""},
                    *({"type": "citations_delta", "citation": each} for each in block.get("citations", ())),
                    {"type": "text_delta", "text": block["text"]},
                )
                for at, block in enumerate(blocks)
            )
        )
    message = read("anthropic", answer, "anthropic", streamed=streamed)
    (part,) = message.parts
    assert [(part.text[each.start_index : each.end_index], each.title) for each in part.annotations] == [
        ("blue", "Sky")
    ] * 2
    assert goes_back("anthropic", message, "anthropic")["content"] == blocks
    elsewhere = goes_back("anthropic", message, "other")["content"]
    assert "".join(block["text"] for block in elsewhere) == "It is blue."
    assert not any("citations" in block for block in elsewhere)


@pytest.mark.parametrize("streamed", [True, False], ids=["streamed", "whole"])
@pytest.mark.parametrize(
    ("told", "expected"),
    [
        (
            {
                "annotations": [
                    {
                        "type": "url_citation",
                        "url_citation": {"url": "https://x", "title": "X", "start_index": 0, "end_index": 2},
                    }
                ]
            },
            ("url_citation", "https://x", "X", 0, 2),
        ),
        (
            {"annotations": [{"type": "url_citation", "url": "https://x", "title": 7}]},
            ("url_citation", "https://x", "", 0, 0),
        ),
        ({"citations": ["https://x"]}, ("citation", "https://x", "", 0, 0)),
        (
            {"citations": ["https://x"], "search_results": [{"title": "X", "url": "https://x"}]},
            ("search_result", "https://x", "X", 0, 0),
        ),
    ],
)
def test_sources_of_openai_compatible_servers(
    streamed: bool, told: dict[str, Any], expected: tuple[Any, ...]
) -> None:
    of_message = {name: value for name, value in told.items() if name == "annotations"}
    beside = {name: value for name, value in told.items() if name != "annotations"}
    if streamed:
        last = openai.chunk(of_message, "stop") | beside
        answer = sse(openai.say("hi") | beside, last, openai.COUNTED) + openai.DONE
    else:
        answer = msgspec.json.encode(
            msgspec.json.decode(openai.body({"content": "hi"} | of_message), type=dict) | beside
        )
    (part,) = read("openai", answer, "p", streamed=streamed).parts
    (source,) = part.annotations
    assert (source.type, source.url, source.title, source.start_index, source.end_index) == expected


# Long conversations of any kind.

TEXTS = st.sampled_from(["", " ", "a", "Grüße", "x" * 50, "{}"])
CALL_IDS = st.sampled_from(["call_0", "functions.x:0", "a", "ä", "c" * 100, "toolu_1"])
PROVIDERS = st.sampled_from(["", "openai", "anthropic", "other"])


@st.composite
def conversations(draw: st.DrawFn) -> list[Any]:
    """200 turns."""
    turns: list[Any] = []
    while len(turns) < 200:
        parts: list[Any] = [{"text": draw(TEXTS)}, {"text": "so?"}]
        if draw(st.booleans()):
            parts.append({"blob": {"mediaType": "image/png", "data": "AAE="}})
        turns.append({"role": "ROLE_USER", "parts": parts})
        answer: list[Any] = [{"text": draw(TEXTS)}] if draw(st.booleans()) else []
        for _ in range(draw(st.integers(0, 2))):
            reasoning = draw(
                st.sampled_from(
                    [
                        {"text": "hm"},
                        {"signature": "s"},
                        {"redactedData": "x"},
                        {"text": "hm", "signature": "s"},
                    ]
                )
            )
            answer.append({"reasoning": reasoning | {"provider": draw(PROVIDERS)}})
        call_ids = draw(st.lists(CALL_IDS, max_size=3))
        answer += [
            called(each, stateJson='{"extra_content":{}}', provider=draw(PROVIDERS)) for each in call_ids
        ]
        turns.append(said(*(answer or [{"text": "so"}])))
        if call_ids:
            turns.append(resulted(*call_ids))
    return [*turns, HI]


@settings(max_examples=15)
@given(turns=conversations())
def test_long_conversations_are_valid_at_both(turns: list[Any]) -> None:
    asked = request(*turns)
    for api in APIS:
        made = body(api, asked)["messages"]
        calls, results = ids(made)
        assert calls == results
        assert (
            len(set(calls))
            == len(calls)
            == sum("toolCall" in part for turn in turns for part in turn["parts"])
        )
    roles = [turn["role"] for turn in made]
    assert all(one != other for one, other in pairwise(roles))
    assert roles[0] == "user"


def test_the_sdks_types_are_looked_at() -> None:
    with pytest.raises(ValidationError):
        check_body(
            "anthropic",
            b'{"model":"m","max_tokens":9,"messages":[{"role":"user","content":[{"type":"tool_result"}]}]}',
        )
    with pytest.raises(ValidationError):
        check_body("openai", b'{"model":"m","messages":[{"role":"tool","content":"x"}]}')
