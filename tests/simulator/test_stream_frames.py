"""For any request, the streamed events carry exactly the tokens and the text of the answer that is not streamed."""

from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from simulator.anthropic_messages import reply_to_message
from simulator.anthropic_schema import MessageRequest
from simulator.behaviour import Behaviour
from simulator.openai_chat import reply_to_chat
from simulator.openai_completions import reply_to_completion
from simulator.openai_schema import ChatRequest, CompletionRequest
from simulator.prompt_cache import PromptCache
from simulator.reply import Context, Reply

TOOLS = [{"name": "weather", "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}}}]
prompts = st.sampled_from(["call:weather"]) | st.text(max_size=40)
limits = st.integers(1, 40)
behaviours = st.builds(Behaviour, tokens=st.integers(0, 40), reasoning_tokens=st.integers(0, 5))


def context(behaviour: Behaviour) -> Context:
    return Context("sim-1", "sim-small", 0, behaviour, PromptCache())


def events(reply: Reply) -> list[dict[str, Any]]:
    assert reply.frames is not None
    found = [line for data, _ in reply.frames() for line in data.split(b"\n") if line.startswith(b"data: {")]
    return [msgspec.json.decode(line[len(b"data: ") :]) for line in found]


def token_frames(reply: Reply) -> int:
    assert reply.frames is not None
    return sum(tokens for _, tokens in reply.frames())


@given(prompts, limits, st.integers(1, 3), behaviours)
def test_a_streamed_chat_is_the_chat(prompt: str, limit: int, n: int, behaviour: Behaviour) -> None:
    tools = [{"type": "function", "function": {"name": "weather", "parameters": TOOLS[0]["input_schema"]}}]
    body: dict[str, Any] = {
        "model": "sim-small",
        "messages": [{"role": "user", "content": prompt}],
        "max_tokens": limit,
        "n": n,
        "tools": tools,
        "stream": True,
    }
    reply = reply_to_chat(msgspec.convert(body, ChatRequest), context(behaviour))
    whole = msgspec.json.decode(reply.body())
    assert token_frames(reply) == reply.output_tokens == whole["usage"]["completion_tokens"]
    for choice in whole["choices"]:
        deltas = [c["delta"] for e in events(reply) for c in e["choices"] if c["index"] == choice["index"]]
        assert "".join(delta.get("content") or "" for delta in deltas) == (choice["message"]["content"] or "")
        reasoning = "".join(delta.get("reasoning_content") or "" for delta in deltas)
        assert reasoning == choice["message"].get("reasoning_content", "")
        calls = [call for delta in deltas for call in delta.get("tool_calls", ())]
        arguments = "".join(call["function"]["arguments"] for call in calls)
        assert arguments == "".join(
            c["function"]["arguments"] for c in choice["message"].get("tool_calls", ())
        )


@given(st.lists(st.text(max_size=10), min_size=1, max_size=3), limits, behaviours)
def test_a_streamed_completion_is_the_completion(prompt: list[str], limit: int, behaviour: Behaviour) -> None:
    body: dict[str, Any] = {"model": "sim-small", "prompt": prompt, "max_tokens": limit, "stream": True}
    reply = reply_to_completion(msgspec.convert(body, CompletionRequest), context(behaviour))
    whole = msgspec.json.decode(reply.body())
    assert token_frames(reply) == reply.output_tokens == whole["usage"]["completion_tokens"]
    for choice in whole["choices"]:
        texts = [c["text"] for e in events(reply) for c in e["choices"] if c["index"] == choice["index"]]
        assert "".join(texts) == choice["text"]


@given(prompts, limits, behaviours)
def test_a_streamed_message_is_the_message(prompt: str, limit: int, behaviour: Behaviour) -> None:
    body: dict[str, Any] = {
        "model": "sim-small",
        "messages": [{"role": "user", "content": prompt}],
        "max_tokens": limit,
        "tools": TOOLS,
        "stream": True,
    }
    reply = reply_to_message(msgspec.convert(body, MessageRequest), context(behaviour))
    whole = msgspec.json.decode(reply.body())
    assert token_frames(reply) == reply.output_tokens == whole["usage"]["output_tokens"]
    deltas = [event["delta"] for event in events(reply) if event["type"] == "content_block_delta"]
    for kind in ("text", "thinking"):
        streamed = "".join(delta.get(kind, "") for delta in deltas)
        assert streamed == "".join(block.get(kind, "") for block in whole["content"])
