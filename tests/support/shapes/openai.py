"""Shapes that servers compatible with OpenAI's API were seen to send, and others of the same kinds."""

from typing import Any

import msgspec

from services.router.targets.provider import FailureKind
from tests.support.shapes.shape import OUTPUT_TOKENS, PROMPT_TOKENS, Shape, sse

DONE = b"data: [DONE]\n\n"
USAGE = {"prompt_tokens": PROMPT_TOKENS, "completion_tokens": OUTPUT_TOKENS, "total_tokens": 27}
COUNTED = {"choices": [], "usage": USAGE}
OSLO, ROME = '{"city":"Oslo"}', '{"city":"Rome"}'
CALLS = (("get_weather", OSLO), ("get_weather", ROME))
INTERRUPTED, MALFORMED = FailureKind.INTERRUPTED, FailureKind.MALFORMED


def chunk(delta: Any = None, reason: Any = None, **fields: Any) -> dict[str, Any]:
    return {
        "choices": [{"index": 0, "delta": {} if delta is None else delta, "finish_reason": reason} | fields]
    }


def say(text: Any, **fields: Any) -> dict[str, Any]:
    return chunk({"content": text}, **fields)


def end(reason: Any = "stop", **fields: Any) -> dict[str, Any]:
    return chunk({}, reason, **fields)


def calls(*pieces: Any) -> dict[str, Any]:
    return chunk({"tool_calls": list(pieces)})


def piece(name: Any = None, arguments: Any = None, **fields: Any) -> dict[str, Any]:
    function = {"name": name, "arguments": arguments}
    return fields | {"function": {key: value for key, value in function.items() if value is not None}}


def answer(*events: object, reason: Any = "stop", usage: Any = USAGE) -> bytes:
    """The events, and the usual end."""
    return sse(*events, end(reason), {"choices": [], "usage": usage}) + DONE


def body(message: Any, reason: Any = "stop", usage: Any = USAGE, **fields: Any) -> bytes:
    choice = {"index": 0, "message": message, "finish_reason": reason} | fields
    return msgspec.json.encode({"choices": [choice], "usage": usage})


def _called(*streamed: Any, whole: Any, calls: Any = CALLS[:1], ids: tuple[str, ...] = ()) -> Shape:
    return Shape(
        answer(*streamed, reason="tool_calls"),
        body({"content": None, "tool_calls": whole}, "tool_calls") if whole else b"",
        calls=calls,
        ids=ids,
        finish="TOOL_CALLS",
    )


_A = piece("get_weather", OSLO, index=0, id="call_a")
_B = piece("get_weather", ROME, index=0, id="call_b")
_HALF, _REST = OSLO[:9], OSLO[9:]

CALL_IDENTITY = {
    "two ids at one index": _called(
        calls(_A), calls(_B), whole=[_A, _B], calls=CALLS, ids=("call_a", "call_b")
    ),
    "two ids at one index in one event": _called(
        calls(_A, _B), whole=None, calls=CALLS, ids=("call_a", "call_b")
    ),
    "one id at two indexes": _called(
        calls(piece("get_weather", OSLO, index=0, id="c")),
        calls(piece("get_weather", ROME, index=1, id="c")),
        whole=[piece("get_weather", OSLO, index=0, id="c"), piece("get_weather", ROME, index=1, id="c")],
        calls=CALLS,
        ids=("c", "c_1"),
    ),
    "a continuation without index and with an empty id": _called(
        calls(piece("get_weather", _HALF, index=0, id="call_a")),
        calls(piece(None, _REST, id="")),
        whole=None,
        ids=("call_a",),
    ),
    "a continuation with an empty name": _called(
        calls(piece("get_weather", _HALF, index=0, id="call_a")),
        calls(piece("", _REST, index=0)),
        whole=None,
        ids=("call_a",),
    ),
    "a continuation with another id each": _called(
        calls(piece("get_weather", "", index=0, id="x1")),
        calls(piece(None, _HALF, index=0, id="x2")),
        calls(piece(None, _REST, index=0, id="x3")),
        whole=None,
        ids=("x1",),
    ),
    "id and name in each piece": _called(
        calls(piece("get_weather", _HALF, index=0, id="call_a")),
        calls(piece("get_weather", _REST, index=0, id="call_a")),
        whole=None,
        ids=("call_a",),
    ),
    "a name that comes later": _called(
        calls(piece(None, "", index=0, id="call_a")),
        calls(piece("get_weather", OSLO, index=0)),
        whole=None,
        ids=("call_a",),
    ),
    "a name after the arguments": _called(
        calls(piece(None, _HALF, index=0, id="call_a")),
        calls(piece(None, _REST, index=0)),
        calls(piece("get_weather", None, index=0)),
        whole=None,
        ids=("call_a",),
    ),
    "an id that comes later": _called(
        calls(piece("get_weather", _HALF, index=0)),
        calls(piece(None, _REST, index=0, id="call_a")),
        whole=None,
        ids=("call_a",),
    ),
    "a name in two pieces": _called(
        calls(piece("get_", "", index=0, id="call_a")),
        calls(piece("weather", OSLO, index=0)),
        whole=None,
        ids=("call_a",),
    ),
    "a name that grows": _called(
        calls(piece("get_", "", index=0, id="call_a")),
        calls(piece("get_weather", OSLO, index=0)),
        whole=None,
        ids=("call_a",),
    ),
    "interleaved": _called(
        calls(piece("get_weather", _HALF, index=0, id="a"), piece("get_weather", ROME[:9], index=1, id="b")),
        calls(piece(None, ROME[9:], index=1)),
        calls(piece(None, _REST, index=0)),
        whole=None,
        calls=CALLS,
        ids=("a", "b"),
    ),
    "neither index nor id": _called(
        calls(piece("get_weather", OSLO), piece("get_weather", ROME)),
        whole=[piece("get_weather", OSLO), piece("get_weather", ROME)],
        calls=CALLS,
    ),
    "index as text": _called(
        calls(piece("get_weather", _HALF, index="0", id="a")),
        calls(piece(None, _REST, index="0")),
        whole=None,
        ids=("a",),
    ),
    "the one call of old servers": Shape(
        answer(
            chunk({"function_call": {"name": "get_weather", "arguments": _HALF}}),
            chunk({"function_call": {"arguments": _REST}}),
            reason="function_call",
        ),
        body({"function_call": {"name": "get_weather", "arguments": OSLO}}, "function_call"),
        calls=CALLS[:1],
        finish="TOOL_CALLS",
    ),
}
_NONE = (("now", "{}"),)
ARGUMENTS = {
    "empty": _called(calls(piece("now", "", index=0, id="a")), whole=[piece("now", "", id="a")], calls=_NONE),
    "absent": _called(
        calls(piece("now", None, index=0, id="a")), whole=[piece("now", None, id="a")], calls=_NONE
    ),
    "null": _called(
        calls({"index": 0, "id": "a", "function": {"name": "now", "arguments": None}}),
        whole=[{"id": "a", "function": {"name": "now", "arguments": None}}],
        calls=_NONE,
    ),
    "the word null": _called(
        calls(piece("now", "null", index=0, id="a")), whole=[piece("now", "null", id="a")], calls=_NONE
    ),
    "white space": _called(
        calls(piece("now", " \n", index=0, id="a")), whole=[piece("now", " ", id="a")], calls=_NONE
    ),
    "an object": _called(
        calls(piece("get_weather", {"city": "Oslo"}, index=0, id="a")),
        whole=[piece("get_weather", {"city": "Oslo"}, id="a")],
    ),
    "a text that is the JSON of a text": _called(
        calls(piece("get_weather", msgspec.json.encode(OSLO).decode(), index=0, id="a")),
        whole=[piece("get_weather", msgspec.json.encode(OSLO).decode(), id="a")],
    ),
    "an empty object before them": _called(
        calls(piece("get_weather", "{}", index=0, id="a")), calls(piece(None, OSLO, index=0)), whole=None
    ),
    "two calls, the first without": _called(
        calls(piece("now", "", index=0, id="a")),
        calls(piece("get_weather", OSLO, index=1, id="b")),
        whole=[piece("now", "", id="a"), piece("get_weather", OSLO, id="b")],
        calls=(*_NONE, *CALLS[:1]),
        ids=("a", "b"),
    ),
}


def _odd(**fields: Any) -> Shape:
    """`hi`, with fields of a choice that nobody needs."""
    return Shape(answer(say("hi", **fields)), body({"content": "hi"}, **fields), text="hi")


def _counted(usage: Any, expected: tuple[int, int, int] | None = (PROMPT_TOKENS, OUTPUT_TOKENS, 0)) -> Shape:
    return Shape(
        answer(say("hi"), usage=usage), body({"content": "hi"}, usage=usage), text="hi", usage=expected
    )


def _beside(**fields: Any) -> Shape:
    """`hi`, with fields beside the choices."""
    whole = msgspec.json.decode(body({"content": "hi"}), type=dict) | fields
    return Shape(answer(say("hi") | fields), msgspec.json.encode(whole), text="hi")


def _content(content: Any, text: str, **expected: Any) -> Shape:
    return Shape(answer(say(content)), body({"content": content}), text=text, **expected)


_PARTS = [{"type": "text", "text": "h"}, {"type": "text", "text": "i"}]
_THOUGHT = {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}
ODD_FIELDS = {
    "a number for logprobs": _odd(logprobs=-0.12),
    "a list for logprobs": _odd(logprobs=[1]),
    "logprobs without a number": _odd(logprobs={"content": [{"token": "hi", "logprob": None}]}),
    "an index that is null": _odd(index=None),
    "an index that is text": _odd(index="0"),
    "an index below 0": _odd(index=-1),
    "a usage that is text": Shape(answer(say("hi", usage="none")), text="hi"),
    "an empty error": _beside(error={}),
    "an error that is an empty text": _beside(error=""),
    "an error that is false": _beside(error=False),
    "an empty error in a choice": _odd(error={}),
    "calls that are an object": Shape(
        answer(chunk({"content": "hi", "tool_calls": {}})),
        body({"content": "hi", "tool_calls": {}}),
        text="hi",
    ),
    "calls that are no objects": Shape(
        answer(chunk({"content": "hi", "tool_calls": [None, 3]})),
        body({"content": "hi", "tool_calls": [None, 3]}),
        text="hi",
    ),
    "reasoning that is false": Shape(
        answer(chunk({"content": "hi", "reasoning": False})),
        body({"content": "hi", "reasoning": False}),
        text="hi",
    ),
    "choices as an object": Shape(
        answer({"choices": say("hi")["choices"][0]}),
        msgspec.json.encode(
            {"choices": {"message": {"content": "hi"}, "finish_reason": "stop"}, "usage": USAGE}
        ),
        text="hi",
    ),
    "nothing but null": Shape(sse(b"null", say("hi"), b"[]", b"7", end(), COUNTED) + DONE, text="hi"),
    "a list around each": Shape(
        sse([say("hi")], [end()], [COUNTED]) + DONE, b"[" + body({"content": "hi"}) + b"]", text="hi"
    ),
    "parts of text": _content(_PARTS, "hi"),
    "one part": _content(_PARTS[0], "h"),
    "parts that are texts": _content(["h", "i"], "hi"),
    "parts that think": _content([_THOUGHT, *_PARTS], "hi", reasoning="hm"),
    "parts that reason": _content([{"type": "reasoning", "text": "hm"}, *_PARTS], "hi", reasoning="hm"),
    "a part of another kind": _content([*_PARTS, {"type": "image", "url": "u"}], "hi"),
    "the JSON that the model wrote": _content({"answer": [1]}, '{"answer":[1]}'),
    "a number": _content(5, "5"),
    "a control character in a text": Shape(
        answer(b'{"choices":[{"delta":{"content":"a\tb"}}]}'),
        b'{"choices":[{"message":{"content":"a\tb"},"finish_reason":"stop"}],"usage":{"prompt_tokens":20,"completion_tokens":7}}',
        text="a\tb",
    ),
    "no number where a number is": Shape(
        answer(
            b'{"choices":[{"delta":{"content":"hi"},"logprobs":{"content":[{"token":"hi","logprob":-Infinity}]}}],"x":NaN}'
        ),
        text="hi",
    ),
}


def _texts(*texts: bytes) -> bytes:
    return answer(*(b'{"choices":[{"index":0,"delta":{"content":"%b"}}]}' % text for text in texts))


HALVES = {
    "a character in two events": Shape(_texts(b"a\\ud83d", b"\\ude00b"), text="a\U0001f600b"),
    "a character that is never ended": Shape(_texts(b"a\\ud83d", b"b"), text="a\ufffdb"),
    "a half at the end": Shape(_texts(b"ab\\ud83d"), text="ab\ufffd"),
    "a second half alone": Shape(
        _texts(b"a\\ude00b"),
        b'{"choices":[{"message":{"content":"a\\ude00b"},"finish_reason":"stop"}],"usage":{"prompt_tokens":20,"completion_tokens":7}}',
        text="a\ufffdb",
    ),
    "bytes of a character in two events": Shape(_texts(b"gr\xc3", b"\xbc\xc3\x9fe"), text="grüße"),
    "bytes of a character in four events": Shape(
        _texts(b"\xf0", b"\x9f", b"\x98", b"\x80!"), text="\U0001f600!"
    ),
    "bytes that are no character": Shape(_texts(b"a\xffb"), text="a\ufffdb"),
    "in arguments": _called(
        *(
            b'{"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"a","function":{"name":"f","arguments":"%b"}}]}}]}'
            % text
            for text in (b'{\\"x\\":\\"\\ud83d', b'\\ude00\\"}')
        ),
        whole=None,
        calls=(("f", '{"x":"\U0001f600"}'),),
    ),
    "of two choices": Shape(
        sse(
            b'{"choices":[{"index":0,"delta":{"content":"\\ud83d"}},{"index":1,"delta":{"content":"\\ud83e"}}]}',
            b'{"choices":[{"index":1,"delta":{"content":"\\udd14"}},{"index":0,"delta":{"content":"\\ude00"}}]}',
            end(),
            end(index=1),
            COUNTED,
        )
        + DONE,
        text="\U0001f600\U0001f914",
        choice_count=2,
    ),
}
_HI, _END = sse(say("hi")), sse(end(), COUNTED)
_WHOLE = body({"content": "hi"})
EVENTS = {
    "data with nothing": Shape(b"data:\n\ndata: \n\n" + _HI + b"data:\n\n" + _END + DONE, text="hi"),
    "a ping by name": Shape(
        b"event: ping\ndata: {}\n\n" + _HI + b"event: ping\ndata: alive\n\n" + _END + DONE, text="hi"
    ),
    "comments": Shape(b": OPENROUTER PROCESSING\n\n" + _HI + b":\n\n" + _END + DONE, text="hi"),
    "DONE with a space": Shape(_HI + _END + b"data: [DONE] \n\n", text="hi"),
    "DONE as a text": Shape(_HI + _END + b'data: "[DONE]"\n\n', text="hi"),
    "events with ids and names": Shape(
        b"".join(
            b"id: 7\nevent: message\nretry: 10\n" + each
            for each in (_HI, _END[: _END.index(b"\n\n") + 2], sse(COUNTED))
        )
        + DONE,
        text="hi",
    ),
    "a last event without its blank line": Shape(_HI + _END + DONE.rstrip() + b"\n", text="hi"),
    "no final newline": Shape(_HI + _END + DONE.rstrip(), text="hi"),
    "no DONE and no final newline": Shape(_HI + _END.rstrip(), text="hi"),
    "carriage returns": Shape((_HI + _END + DONE).replace(b"\n", b"\r\n"), text="hi"),
    "the whole answer in one event": Shape(sse(_WHOLE) + DONE, text="hi"),
    "the whole answer once more": Shape(
        sse(
            say("hi"),
            {
                "choices": [{"index": 0, "message": {"content": "hi"}, "finish_reason": "stop"}],
                "usage": USAGE,
            },
        )
        + DONE,
        text="hi",
    ),
    "an error by name": Shape(
        _HI + b'event: error\ndata: {"message":"boom"}\n\n', text="hi", failure=INTERRUPTED, usage=None
    ),
    "an error by name that says nothing": Shape(
        _HI + b"event: error\ndata: {}\n\n", text="hi", failure=INTERRUPTED, usage=None
    ),
    "an error by name without data": Shape(
        _HI + b"event: error\n\n", text="hi", failure=INTERRUPTED, usage=None
    ),
}
ENDS = {
    "text, usage and DONE": Shape(
        sse(say("hi"), COUNTED) + DONE, body({"content": "hi"}, None), text="hi", finish="UNSPECIFIED"
    ),
    "a whole answer that leaves its reason out": Shape(
        body=msgspec.json.encode({"choices": [{"message": {"content": "hi"}}], "usage": USAGE}),
        text="hi",
        finish="UNSPECIFIED",
    ),
    "a whole answer with an empty reason": Shape(
        body=body({"content": "hi"}, ""), text="hi", finish="UNSPECIFIED"
    ),
    "a finish without usage": Shape(
        sse(say("hi"), end()), body({"content": "hi"}, usage=None), text="hi", usage=None
    ),
    "one of two": Shape(answer(say("hi")), _WHOLE, text="hi", choice_count=2),
    "the second of two": Shape(
        sse(say("hi", index=1), end(index=1), COUNTED) + DONE,
        body({"content": "hi"}, index=1),
        text="hi",
        choice_count=2,
    ),
    "two of one": Shape(
        answer(say("hi"), say("other", index=1)),
        msgspec.json.encode(
            {
                "choices": [
                    {"index": at, "message": {"content": text}, "finish_reason": "stop"}
                    for at, text in enumerate(("hi", "other"))
                ],
                "usage": USAGE,
            }
        ),
        text="hi",
    ),
    "something unreadable after the end": Shape(_HI + _END + b"data: {nonsense\n\n", text="hi"),
    "broken off": Shape(sse(say("hi")), text="hi", failure=INTERRUPTED, usage=None),
    "broken off within an event": Shape(
        sse(say("hi")) + b'data: {"choices":[{"delta":{"con', text="hi", failure=INTERRUPTED, usage=None
    ),
    "DONE after nothing": Shape(DONE, failure=INTERRUPTED, usage=None),
    "DONE after a text alone": Shape(sse(say("hi")) + DONE, text="hi", failure=INTERRUPTED, usage=None),
    "usage and DONE after nothing": Shape(sse(COUNTED) + DONE, failure=INTERRUPTED),
}


def _failing(reason: str, kind: FailureKind = INTERRUPTED) -> Shape:
    return Shape(
        sse(say("hi"), end(reason), COUNTED) + DONE,
        body({"content": "hi"}, reason),
        text="hi",
        failure=kind,
        usage=None,
    )


def _ending(reason: str, finish: str) -> Shape:
    return Shape(answer(say("hi"), reason=reason), body({"content": "hi"}, reason), text="hi", finish=finish)


FAILURES = {
    **{word: _failing(word) for word in ("error", "abort", "network_error", "CANCELLED")},
    "insufficient_system_resource": _failing("insufficient_system_resource", FailureKind.OVERLOADED),
    "an error in a choice": Shape(
        sse(say("hi"), end("error", error={"code": 502, "message": "upstream"}), COUNTED) + DONE,
        body({"content": "hi"}, "stop", error={"code": 502, "message": "upstream"}),
        text="hi",
        failure=FailureKind.OVERLOADED,
        usage=None,
    ),
    "an error beside the choices": Shape(
        sse(say("hi"), say("") | {"error": {"message": "boom"}}) + DONE,
        msgspec.json.encode(
            {"choices": [{"message": {"content": "hi"}, "finish_reason": "stop"}], "error": "boom"}
        ),
        text="hi",
        failure=INTERRUPTED,
        usage=None,
    ),
    "max_tokens": _ending("max_tokens", "LENGTH"),
    "MAX_TOKENS": _ending("MAX_TOKENS", "LENGTH"),
    "model_length": _ending("model_length", "LENGTH"),
    "a word of its own": _ending("eldritch", "OTHER"),
    "tool_calls after stop": Shape(
        sse(calls(_A), end("stop"), end("tool_calls"), COUNTED) + DONE, calls=CALLS[:1], finish="TOOL_CALLS"
    ),
    "length after stop": Shape(
        sse(say("hi"), end("stop"), end("length"), COUNTED) + DONE, text="hi", finish="LENGTH"
    ),
    "stop after length": Shape(
        sse(say("hi"), end("length"), end("stop"), COUNTED) + DONE, text="hi", finish="LENGTH"
    ),
}
_ELSEWHERE = {"prompt_tokens": 20, "completion_tokens": 7}
COUNTS = {
    "fractions": _counted({"prompt_tokens": 20.0, "completion_tokens": 7.0}),
    "texts": _counted({"prompt_tokens": "20", "completion_tokens": "7"}),
    "below 0": _counted({"prompt_tokens": -1, "completion_tokens": 7}, (0, 7, 0)),
    "details as a list": _counted(USAGE | {"prompt_tokens_details": [], "completion_tokens_details": ""}),
    "null": _counted(None, None),
    "a text": _counted("none", None),
    "nothing": _counted({}, None),
    "zeros": _counted({"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}, None),
    "beyond reason": _counted({"prompt_tokens": 20, "completion_tokens": 10**12}, (20, 0, 0)),
    "zeros after a count": Shape(
        sse(say("hi"), end(), COUNTED, {"choices": [], "usage": {"prompt_tokens": 0, "completion_tokens": 0}})
        + DONE,
        text="hi",
    ),
    "told twice": Shape(sse(say("hi"), end(), COUNTED, COUNTED) + DONE, text="hi"),
    "input first, output in the end": Shape(
        sse(
            say("hi") | {"usage": {"prompt_tokens": 20}},
            end(),
            {"choices": [], "usage": {"completion_tokens": 7}},
        )
        + DONE,
        text="hi",
    ),
    "in the choice": Shape(
        sse(say("hi"), end(usage=_ELSEWHERE)) + DONE,
        msgspec.json.encode(
            {"choices": [{"message": {"content": "hi"}, "finish_reason": "stop", "usage": _ELSEWHERE}]}
        ),
        text="hi",
    ),
    "in x_groq": Shape(
        sse(say("hi"), end() | {"x_groq": {"id": "r", "usage": _ELSEWHERE}}) + DONE,
        msgspec.json.encode(
            {
                "choices": [{"message": {"content": "hi"}, "finish_reason": "stop"}],
                "x_groq": {"usage": _ELSEWHERE},
            }
        ),
        text="hi",
    ),
    "by other names": _counted({"input_tokens": 20, "output_tokens": 7}),
    "a hit of the cache": _counted(
        USAGE | {"prompt_cache_hit_tokens": 15, "prompt_cache_miss_tokens": 5}, (20, 7, 15)
    ),
    "cached at the top": _counted(USAGE | {"cached_tokens": 15}, (20, 7, 15)),
    "cached in the details": _counted(USAGE | {"prompt_tokens_details": {"cached_tokens": 15}}, (20, 7, 15)),
    "cached beside the prompt": _counted(
        {"prompt_tokens": 5, "completion_tokens": 7, "cached_tokens": 15, "total_tokens": 27}, (20, 7, 15)
    ),
    "a total beyond the sum": _counted(
        {"prompt_tokens": 20, "completion_tokens": 198, "total_tokens": 623}, (20, 603, 0)
    ),
    "reasoning beside the completion": _counted(
        {
            "prompt_tokens": 20,
            "completion_tokens": 7,
            "total_tokens": 37,
            "completion_tokens_details": {"reasoning_tokens": 10},
        },
        (20, 17, 0),
    ),
    "a total below the sum": _counted(USAGE | {"total_tokens": 3}),
}
_SIGNED = {"extra_content": {"google": {"thought_signature": "s"}}}
_SOURCE = {
    "type": "url_citation",
    "url_citation": {"url": "https://x", "title": "X", "start_index": 0, "end_index": 2},
}
_DETAIL = {"type": "reasoning.text", "text": "hm", "signature": "s", "index": 0}


def _beside_text(message: dict[str, Any], **fields: Any) -> Shape:
    """`hi`, with what a server says beside it, in the message and beside the choices."""
    whole = msgspec.json.decode(body({"content": "hi"} | message), type=dict) | fields
    stream = sse(say("hi") | fields, chunk(message) | fields, end() | fields, COUNTED | fields) + DONE
    return Shape(stream, msgspec.json.encode(whole), text="hi")


STATE = {
    "signatures of calls of two choices": Shape(
        sse(
            {
                "choices": [
                    {
                        "index": at,
                        "delta": {
                            "tool_calls": [piece("f", "{}", index=0, id=f"c{at}") | _SIGNED] * (2 - at)
                        },
                    }
                    for at in (0, 1)
                ]
            },
            end("tool_calls"),
            end("tool_calls", index=1),
            COUNTED,
        )
        + DONE,
        calls=(("f", "{}"), ("f", "{}")),
        finish="TOOL_CALLS",
        choice_count=2,
    ),
    "a signature of a text": _beside_text(_SIGNED),
    "sources": _beside_text(
        {"annotations": [_SOURCE]}, citations=["https://x"], search_results=[{"url": "https://x"}]
    ),
    "details of reasoning": _beside_text({"reasoning_details": [_DETAIL, _DETAIL | {"index": 1}]}),
    "sources that are none": _beside_text({"annotations": 5}, citations="none", search_results={"a": 1}),
    "sources of other types": _beside_text(
        {"annotations": [None, 3, {"type": 4, "url": [1]}]}, citations=[5, None]
    ),
    "details that are none": _beside_text({"reasoning_details": "none"}),
    "details of other types": _beside_text(
        {"reasoning_details": [None, {"type": [1], "index": {}}, {"index": 1.5}]}
    ),
    "a call that is none": _beside_text({"function_call": "none"}, x_groq=[]),
    "odd state of a text": _beside_text({"extra_content": "text", "reasoning_details": {}}),
}
SHAPES = {
    f"{kind}: {name}": shape
    for kind, shapes in {
        "call": CALL_IDENTITY,
        "arguments": ARGUMENTS,
        "field": ODD_FIELDS,
        "halves": HALVES,
        "events": EVENTS,
        "end": ENDS,
        "failure": FAILURES,
        "counts": COUNTS,
        "state": STATE,
    }.items()
    for name, shape in shapes.items()
}
