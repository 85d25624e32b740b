"""OpenAI chat completions, streamed and not."""

from collections.abc import Iterator
from itertools import repeat
from typing import Any

import msgspec

from simulator.answer import Answer, Call, Finish, compose, counted
from simulator.frame import Frame, interleave
from simulator.openai_logprobs import chat_logprobs
from simulator.openai_prompt import segments_of, task_of
from simulator.openai_schema import ChatRequest
from simulator.openai_usage import FINGERPRINT, FINISH_REASONS, final_frames, usage, with_running_usage
from simulator.openai_validation import validate_chat
from simulator.reply import Context, Reply


def reply_to_chat(asked: ChatRequest, context: Context) -> Reply:
    validate_chat(asked)
    segments = segments_of(asked)
    task = task_of(asked, segments)
    answers = [compose(task, context.behaviour, choice) for choice in range(asked.n or 1)]
    chat = ChatAnswer(asked, context, answers, counted(segments, context.behaviour))
    return Reply(
        input_tokens=chat.input_tokens,
        body=chat.body,
        frames=chat.frames if asked.stream else None,
        ending=chat.ending,
        cached_tokens=chat.cached_tokens,
        output_tokens=chat.output_tokens,
        reasoning_tokens=chat.reasoning_tokens,
    )


class ChatAnswer:
    def __init__(
        self, asked: ChatRequest, context: Context, answers: list[Answer], input_tokens: int
    ) -> None:
        self._asked = asked
        self._context = context
        self._answers = answers
        self.input_tokens = input_tokens
        self.cached_tokens = min(context.behaviour.cached_tokens, input_tokens)
        self.output_tokens = sum(answer.tokens for answer in answers)
        self.reasoning_tokens = sum(len(answer.reasoning) for answer in answers)

    def body(self) -> bytes:
        choices = [self._choice(index, answer) for index, answer in enumerate(self._answers)]
        whole = self._head("chat.completion") | {"choices": choices}
        if not self._context.behaviour.no_usage:
            whole["usage"] = self._usage()
        return msgspec.json.encode(whole)

    def frames(self) -> Iterator[Frame]:
        head = self._head("chat.completion.chunk")
        streams = [
            _ChoiceFrames(head, index, include_usage=self._includes_usage()).all(
                answer,
                hide_reasoning=self._context.behaviour.hide_reasoning,
                logprobs=bool(self._asked.logprobs),
            )
            for index, answer in enumerate(self._answers)
        ]
        options = self._asked.stream_options
        frames = interleave(streams)
        if self._tells_usage() and options is not None and options.continuous_usage_stats:
            frames = with_running_usage(frames, self._usage_so_far)
        return frames

    def ending(self) -> list[Frame]:
        used = self._usage() if self._tells_usage() else None
        twice = self._context.behaviour.usage_twice
        return final_frames(self._head("chat.completion.chunk"), used, twice=twice)

    def _includes_usage(self) -> bool:
        options = self._asked.stream_options
        return options is not None and bool(options.include_usage)

    def _tells_usage(self) -> bool:
        return self._includes_usage() and not self._context.behaviour.no_usage

    def _head(self, kind: str) -> dict[str, Any]:
        return {
            "id": f"chatcmpl-{self._context.id}",
            "object": kind,
            "created": self._context.created,
            "model": self._context.model,
            "service_tier": self._context.behaviour.tier or "default",
            "system_fingerprint": FINGERPRINT,
        }

    def _usage(self) -> dict[str, Any]:
        return usage(self.input_tokens, self.output_tokens, self.cached_tokens, self.reasoning_tokens)

    def _usage_so_far(self, tokens: int) -> dict[str, Any]:
        return usage(self.input_tokens, tokens, self.cached_tokens, min(tokens, self.reasoning_tokens))

    def _choice(self, index: int, answer: Answer) -> dict[str, Any]:
        logprobs = chat_logprobs(answer.text) if self._asked.logprobs and not answer.calls else None
        return {
            "index": index,
            "message": self._message(answer),
            "logprobs": logprobs,
            "finish_reason": FINISH_REASONS[answer.finish],
        }

    def _message(self, answer: Answer) -> dict[str, Any]:
        message: dict[str, Any] = {"role": "assistant", "content": "".join(answer.text), "refusal": None}
        if answer.reasoning and not self._context.behaviour.hide_reasoning:
            message["reasoning_content"] = "".join(answer.reasoning)
        if answer.calls:
            message["content"] = None
            message["tool_calls"] = [_tool_call(call) for call in answer.calls]
        return message


class _ChoiceFrames:
    """The events of one choice. What is equal in all of them is encoded once, as a stream has one per token."""

    def __init__(self, head: dict[str, Any], index: int, *, include_usage: bool) -> None:
        self._start = b"data: " + msgspec.json.encode(head)[:-1] + b',"choices":[{"index":%d,"delta":' % index
        self._end = (b'],"usage":null' if include_usage else b"]") + b"}\n\n"
        self._running_end = b',"logprobs":null,"finish_reason":null}' + self._end

    def all(self, answer: Answer, *, hide_reasoning: bool, logprobs: bool) -> Iterator[Frame]:
        first = {"role": "assistant", "content": None if answer.calls else "", "refusal": None}
        yield self._running(msgspec.json.encode(first)), 0
        if hide_reasoning:
            yield from repeat((b"", 1), len(answer.reasoning))
        else:
            yield from self._texts(b"reasoning_content", answer.reasoning)
        yield from (
            self._texts_with_logprobs(answer.text) if logprobs else self._texts(b"content", answer.text)
        )
        for position, call in enumerate(answer.calls):
            yield from self._call(position, call)
        yield self._finish(answer.finish), 0

    def _running(self, delta: bytes) -> bytes:
        return self._start + delta + self._running_end

    def _texts(self, field: bytes, tokens: list[str]) -> Iterator[Frame]:
        start, end = self._start + b'{"' + field + b'":', b"}" + self._running_end
        encode = msgspec.json.encode
        return ((start + encode(token) + end, 1) for token in tokens)

    def _texts_with_logprobs(self, tokens: list[str]) -> Iterator[Frame]:
        return ((self._text_with_logprobs(token), 1) for token in tokens)

    def _text_with_logprobs(self, token: str) -> bytes:
        encode = msgspec.json.encode
        delta, logprobs = encode({"content": token}), encode(chat_logprobs([token]))
        return self._start + delta + b',"logprobs":' + logprobs + b',"finish_reason":null}' + self._end

    def _call(self, position: int, call: Call) -> Iterator[Frame]:
        opening = {"index": position, **_tool_call(call)}
        opening["function"] = {"name": call.name, "arguments": ""}
        deltas = [
            opening,
            *({"index": position, "function": {"arguments": piece}} for piece in call.arguments),
        ]
        return ((self._running(msgspec.json.encode({"tool_calls": [delta]})), 1) for delta in deltas)

    def _finish(self, finish: Finish) -> bytes:
        reason = msgspec.json.encode(FINISH_REASONS[finish])
        return self._start + b'{},"logprobs":null,"finish_reason":' + reason + b"}" + self._end


def _tool_call(call: Call) -> dict[str, Any]:
    function = {"name": call.name, "arguments": "".join(call.arguments)}
    return {"id": f"call_{call.id}", "type": "function", "function": function}
