"""Shapes that servers compatible with Anthropic's API were seen to send, and others of the same kinds."""

from typing import Any

import msgspec

from services.router.targets.provider import FailureKind
from tests.support.shapes.shape import OUTPUT_TOKENS, PROMPT_TOKENS, Call, Shape, sse

OSLO, ROME = '{"city":"Oslo"}', '{"city":"Rome"}'
CALLS = (("get_weather", OSLO), ("get_weather", ROME))
INTERRUPTED = FailureKind.INTERRUPTED
_INPUT = {"input_tokens": PROMPT_TOKENS, "output_tokens": 1}
_OUTPUT = {"output_tokens": OUTPUT_TOKENS}
BODY_USAGE = {"input_tokens": PROMPT_TOKENS, "output_tokens": OUTPUT_TOKENS}


def named(*events: Any) -> bytes:
    return b"".join(
        sse(event, name=event.get("type", "") if isinstance(event, dict) else "") for event in events
    )


def start(usage: Any = _INPUT) -> dict[str, Any]:
    return {"type": "message_start", "message": {"role": "assistant", "content": [], "usage": usage}}


def block(index: Any, content: Any, *deltas: Any) -> list[dict[str, Any]]:
    begin = {"type": "content_block_start", "index": index, "content_block": content}
    pieces = [{"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas]
    return [begin, *pieces, {"type": "content_block_stop", "index": index}]


def text(said: Any = "hi", index: int = 0) -> list[dict[str, Any]]:
    return block(index, {"type": "text", "text": ""}, {"type": "text_delta", "text": said})


def arguments(piece: Any) -> dict[str, Any]:
    return {"type": "input_json_delta", "partial_json": piece}


def call(index: Any, name: str, call_id: str, *pieces: Any, given: Any = None) -> list[dict[str, Any]]:
    content = {"type": "tool_use", "id": call_id, "name": name, "input": {} if given is None else given}
    return block(index, content, *map(arguments, pieces))


def stop(reason: Any = "end_turn", usage: Any = _OUTPUT) -> list[dict[str, Any]]:
    return [
        {"type": "message_delta", "delta": {"stop_reason": reason}, "usage": usage},
        {"type": "message_stop"},
    ]


def answer(*blocks: list[dict[str, Any]], reason: Any = "end_turn", usage: Any = _OUTPUT) -> bytes:
    return named(start(), *(event for each in blocks for event in each), *stop(reason, usage))


def body(*content: Any, reason: Any = "end_turn", usage: Any = BODY_USAGE, **fields: Any) -> bytes:
    message = {"type": "message", "content": list(content), "stop_reason": reason, "usage": usage}
    return msgspec.json.encode(message | fields)


def use(name: str, given: Any, call_id: str = "toolu_a") -> dict[str, Any]:
    return {"type": "tool_use", "id": call_id, "name": name, "input": given}


HI = {"type": "text", "text": "hi"}
_STARTED, _ENDED = named(start(), *text()), named(*stop())


def _called(
    *blocks: list[dict[str, Any]], whole: Any = (), calls: tuple[Call, ...] = CALLS[:1], **more: Any
) -> Shape:
    return Shape(
        answer(*blocks, reason="tool_use"),
        body(*whole, reason="tool_use") if whole else b"",
        calls=calls,
        finish="TOOL_CALLS",
        **more,
    )


_NONE = (("now", "{}"),)
TOOLS = {
    "pieces": _called(
        call(0, "get_weather", "a", "", OSLO[:9], OSLO[9:]), whole=[use("get_weather", {"city": "Oslo"})]
    ),
    "two at one index": _called(
        call(0, "get_weather", "a", OSLO) + call(0, "get_weather", "b", ROME),
        whole=[use("get_weather", {"city": "Oslo"}, "a"), use("get_weather", {"city": "Rome"}, "b")],
        calls=CALLS,
        ids=("a", "b"),
    ),
    "one id for two": _called(
        call(0, "get_weather", "a", OSLO) + call(1, "get_weather", "a", ROME),
        whole=[use("get_weather", {"city": "Oslo"}, "a"), use("get_weather", {"city": "Rome"}, "a")],
        calls=CALLS,
        ids=("a", "a_1"),
    ),
    "no ids": _called(
        call(0, "get_weather", "", OSLO) + call(1, "get_weather", "", ROME),
        whole=[use("get_weather", {"city": "Oslo"}, ""), use("get_weather", {"city": "Rome"}, "")],
        calls=CALLS,
    ),
    "no indexes": _called(
        [
            {key: value for key, value in event.items() if key != "index"}
            for event in call(0, "get_weather", "a", OSLO)
        ],
        ids=("a",),
    ),
    "interleaved": _called(
        call(0, "get_weather", "a")[:1]
        + call(1, "get_weather", "b")[:1]
        + [
            {"type": "content_block_delta", "index": at, "delta": arguments(piece)}
            for at, piece in ((0, OSLO[:5]), (1, ROME[:7]), (0, OSLO[5:]), (1, ROME[7:]))
        ],
        calls=CALLS,
        ids=("a", "b"),
    ),
    "no deltas": _called(call(0, "now", "a"), whole=[use("now", {})], calls=_NONE),
    "an empty delta": _called(call(0, "now", "a", ""), whole=[use("now", None)], calls=_NONE),
    "an empty object in pieces": _called(call(0, "now", "a", "{", "}"), whole=[use("now", "")], calls=_NONE),
    "a whole input at the start": _called(
        call(0, "get_weather", "a", given={"city": "Oslo"}), whole=[use("get_weather", OSLO)]
    ),
    "a whole input and its pieces": _called(
        call(0, "get_weather", "a", OSLO[:9], OSLO[9:], given={"city": "Oslo"})
    ),
    "an object in a delta": _called(call(0, "get_weather", "a", {"city": "Oslo"})),
    "after a text": Shape(
        answer(text(), call(1, "get_weather", "a", OSLO), reason="tool_use"),
        body(HI, use("get_weather", {"city": "Oslo"}), reason="tool_use"),
        text="hi",
        calls=CALLS[:1],
        finish="TOOL_CALLS",
    ),
    "an end that does not tell of them": Shape(
        answer(call(0, "get_weather", "a", OSLO)),
        body(use("get_weather", {"city": "Oslo"}), reason="stop"),
        calls=CALLS[:1],
        finish="TOOL_CALLS",
    ),
}


def _counted(first: Any, last: Any, expected: tuple[int, int, int] | None, whole: Any = None) -> Shape:
    return Shape(
        named(start(first), *text(), *stop(usage=last)),
        body(HI, usage=whole) if whole else b"",
        text="hi",
        usage=expected,
    )


def _odd(event: dict[str, Any], **expected: Any) -> Shape:
    return Shape(_STARTED + named(event) + _ENDED, **({"text": "hi"} | expected))


ODD = {
    "an unknown event": _odd({"type": "something_new", "index": "x", "delta": 5}),
    "a delta that is null": _odd({"type": "content_block_delta", "index": 0, "delta": None}),
    "a text that is null": _odd(
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": None}}
    ),
    "an index that is null": _odd(
        {"type": "content_block_delta", "index": None, "delta": {"text": "!"}}, text="hi!"
    ),
    "an empty error": _odd({"type": "ping", "error": {}}),
    "an unknown block": _odd(
        {"type": "content_block_start", "index": 4, "content_block": {"type": "new", "text": None}}
    ),
    "a block without a type": _odd({"type": "content_block_start", "index": 4, "content_block": {}}),
    "content as a text": Shape(body=body(HI).replace(b'[{"type":"text","text":"hi"}]', b'"hi"'), text="hi"),
    "content that is no block": Shape(body=body(HI, None, 3), text="hi"),
    "a body without a type": Shape(body=body(HI, type=None), text="hi"),
    "no types, but names": Shape(
        b"".join(
            sse({key: value for key, value in event.items() if key != "type"}, name=event["type"])
            for event in [start(), *text(), *stop()]
        ),
        text="hi",
    ),
    "a character in two events": Shape(
        _STARTED
        + b"".join(
            b'data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"%b"}}\n\n'
            % half
            for half in (b"\\ud83d", b"\\ude00")
        )
        + _ENDED,
        text="hi\U0001f600",
    ),
    "bytes of a character in two events": Shape(
        _STARTED
        + b"".join(
            b'data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"%b"}}\n\n'
            % half
            for half in (b"\xc3", b"\xbc!")
        )
        + _ENDED,
        text="hiü!",
    ),
    "half a character at the end": Shape(
        _STARTED
        + b'data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"\\ud83d"}}\n\n'
        + _ENDED,
        text="hi\ufffd",
    ),
    "thought": Shape(
        answer(
            block(0, {"type": "thinking", "thinking": ""}, {"type": "thinking_delta", "thinking": "hm"}),
            text(index=1),
        ),
        body({"type": "thinking", "thinking": "hm", "signature": "s"}, HI),
        text="hi",
        reasoning="hm",
    ),
}
EVENTS = {
    "a ping without a type": Shape(_STARTED + b"event: ping\ndata: {}\n\n" + _ENDED, text="hi"),
    "a ping that says nothing": Shape(_STARTED + b"event: ping\ndata:\n\n" + _ENDED, text="hi"),
    "data with nothing": Shape(_STARTED + b"data:\n\n" + _ENDED, text="hi"),
    "DONE after the stop": Shape(_STARTED + _ENDED + b"data: [DONE]\n\n", text="hi"),
    "DONE in place of the stop": Shape(_STARTED + named(stop()[0]) + b"data: [DONE] \n\n", text="hi"),
    "no names": Shape(sse(start(), *text(), *stop()), text="hi"),
    "no final newline": Shape((_STARTED + _ENDED).rstrip(), text="hi"),
    "a last event without its blank line": Shape((_STARTED + _ENDED)[:-1], text="hi"),
    "the whole answer in one event": Shape(sse(msgspec.Raw(body(HI))), text="hi"),
    "carriage returns": Shape((_STARTED + _ENDED).replace(b"\n", b"\r\n"), text="hi"),
    "an error by name": Shape(
        _STARTED + b'event: error\ndata: {"message":"boom"}\n\n',
        text="hi",
        failure=INTERRUPTED,
        usage=(PROMPT_TOKENS, 1, 0),
    ),
    "an error without a type": Shape(
        _STARTED + sse({"error": {"message": "boom"}}), text="hi", failure=INTERRUPTED
    ),
    "an error by its type": Shape(
        _STARTED + sse({"type": "error", "error": {"type": "overloaded_error"}}),
        text="hi",
        failure=FailureKind.OVERLOADED,
    ),
}
ENDS = {
    "a stop reason and no more": Shape(_STARTED + named(stop()[0]), text="hi"),
    "no stop reason, but usage": Shape(
        answer(text(), reason=None), body(HI, reason=None), text="hi", finish="UNSPECIFIED"
    ),
    "a whole answer without a stop reason": Shape(
        body=msgspec.json.encode({"type": "message", "content": [HI], "usage": BODY_USAGE}),
        text="hi",
        finish="UNSPECIFIED",
    ),
    "something unreadable after the end": Shape(
        _STARTED + named(stop()[0]) + b"data: {nonsense\n\n", text="hi"
    ),
    "broken off": Shape(_STARTED, text="hi", failure=INTERRUPTED),
    "a stop after nothing": Shape(named(start(), stop()[1]), failure=INTERRUPTED),
    **{
        word: Shape(answer(text(), reason=word), body(HI, reason=word), text="hi", failure=INTERRUPTED)
        for word in ("error", "abort", "network_error")
    },
    "length": Shape(
        answer(text(), reason="length"), body(HI, reason="MAX_TOKENS"), text="hi", finish="LENGTH"
    ),
    "a word of its own": Shape(
        answer(text(), reason="eldritch"), body(HI, reason="eldritch"), text="hi", finish="OTHER"
    ),
    "tool_use after end_turn": Shape(
        named(start(), *call(0, "get_weather", "a", OSLO), stop()[0], *stop("tool_use")),
        calls=CALLS[:1],
        finish="TOOL_CALLS",
    ),
}
COUNTS = {
    "an input of 0 in the end": _counted(
        {"input_tokens": 125, "output_tokens": 1}, {"input_tokens": 0, "output_tokens": 7}, (125, 7, 0)
    ),
    "fractions": _counted(
        {"input_tokens": 20.0},
        {"output_tokens": 7.0},
        (20, 7, 0),
        {"input_tokens": 20.0, "output_tokens": 7.0},
    ),
    "texts": _counted(
        {"input_tokens": "20"},
        {"output_tokens": "7"},
        (20, 7, 0),
        {"input_tokens": "20", "output_tokens": "7"},
    ),
    "null": _counted(None, {"input_tokens": 20, "output_tokens": 7}, (20, 7, 0)),
    "told twice": Shape(named(start(), *text(), stop()[0], *stop()), text="hi"),
    "all in the end": _counted(
        {}, {"input_tokens": 20, "output_tokens": 7}, (20, 7, 0), {"input_tokens": 20, "output_tokens": 7}
    ),
    "what the cache read": _counted(
        {"input_tokens": 5, "cache_read_input_tokens": 15},
        _OUTPUT,
        (20, 7, 15),
        BODY_USAGE | {"input_tokens": 5, "cache_read_input_tokens": 15},
    ),
    "an output of 0 in the end": _counted(_INPUT, {"output_tokens": 0}, (20, 1, 0)),
}
_CITED = {"type": "char_location", "cited_text": "c", "document_title": "T", "document_index": 0}


def _citing(*citations: Any) -> Shape:
    pieces = [{"type": "citations_delta", "citation": each} for each in citations]
    said = {"type": "text_delta", "text": "hi"}
    return Shape(
        answer(block(0, {"type": "text", "text": ""}, *pieces, said)),
        body(HI | {"citations": list(citations)}),
        text="hi",
    )


STATE = {
    "citations": _citing(_CITED, _CITED),
    "citations that are none": _citing(None, 3, "x", {"type": 4, "title": [1], "cited_text": {}}),
    "signatures": Shape(
        answer(
            block(0, {"type": "thinking", "thinking": ""}, {"type": "signature_delta", "signature": "S1"}),
            block(1, {"type": "redacted_thinking", "data": "x"}),
            text(index=2),
        ),
        body(
            {"type": "thinking", "thinking": "", "signature": "S1"},
            {"type": "redacted_thinking", "data": "x"},
            HI,
        ),
        text="hi",
    ),
    "signatures that are none": Shape(
        answer(block(0, {"type": "thinking", "thinking": None, "signature": 5}), text(index=1)),
        body(
            {"type": "thinking", "thinking": None, "signature": 5},
            {"type": "redacted_thinking", "data": [1]},
            HI,
        ),
        text="hi",
    ),
}
SHAPES = {
    f"{kind}: {name}": shape
    for kind, shapes in {
        "tools": TOOLS,
        "odd": ODD,
        "events": EVENTS,
        "end": ENDS,
        "counts": COUNTS,
        "state": STATE,
    }.items()
    for name, shape in shapes.items()
}
