"""Anthropic messages, streamed and not, and the counting of their tokens."""

from collections.abc import Iterator
from typing import Any

import msgspec

from simulator.answer import Answer, Finish, compose, counted
from simulator.anthropic_blocks import Block, blocks_of
from simulator.anthropic_prompt import segments_of, task_of
from simulator.anthropic_schema import CountRequest, MessageRequest, ThinkingAdaptive, ThinkingEnabled
from simulator.anthropic_validation import validate_count, validate_message
from simulator.frame import Frame
from simulator.reply import Context, Reply

_STOP_REASONS = {
    Finish.STOP: "end_turn",
    Finish.STOP_SEQUENCE: "stop_sequence",
    Finish.LENGTH: "max_tokens",
    Finish.TOOL_CALLS: "tool_use",
}
MALFORMED_EVENT = b'event: content_block_delta\ndata: {"type":"content_block_delta,"index":[}\n\n'
_PING: Frame = (b'event: ping\ndata: {"type":"ping"}\n\n', 0)


def reply_to_count(asked: CountRequest, _context: Context) -> Reply:
    validate_count(asked)
    tokens = sum(segment.tokens for segment in segments_of(asked))
    return Reply(input_tokens=0, body=lambda: msgspec.json.encode({"input_tokens": tokens}))


def reply_to_message(asked: MessageRequest, context: Context) -> Reply:
    validate_message(asked)
    segments = segments_of(asked)
    answer = compose(task_of(asked, segments), context.behaviour)
    read, written = context.prompt_cache.visit(context.model, segments)
    total = counted(segments, context.behaviour)
    written = min(written, total)
    read = min(total - written, max(read, context.behaviour.cached_tokens))
    message = MessageAnswer(asked, context, answer, (total, read, written))
    return Reply(
        input_tokens=total,
        body=message.body,
        frames=message.frames if asked.stream else None,
        ending=message.ending,
        cached_tokens=read,
        cache_written_tokens=written,
        output_tokens=answer.tokens,
        reasoning_tokens=len(answer.reasoning),
    )


class MessageAnswer:
    def __init__(
        self,
        asked: MessageRequest,
        context: Context,
        answer: Answer,
        prompt_tokens: tuple[int, int, int],
    ) -> None:
        self._context = context
        self._answer = answer
        self._total, self._read, self._written = prompt_tokens
        thinking = asked.thinking
        omitted = isinstance(thinking, ThinkingEnabled | ThinkingAdaptive) and thinking.display == "omitted"
        self._blocks = blocks_of(answer, hide_reasoning=omitted or context.behaviour.hide_reasoning)

    def body(self) -> bytes:
        content = [block.whole for block in self._blocks]
        whole = self._message() | {
            "content": content,
            **self._stopped(),
            "usage": self._usage(self._answer.tokens),
        }
        if self._context.behaviour.no_usage:
            del whole["usage"]
        return msgspec.json.encode(whole)

    def frames(self) -> Iterator[Frame]:
        start = self._message() | {"usage": self._usage(min(1, self._answer.tokens))}
        yield event({"type": "message_start", "message": start}), 0
        for index, block in enumerate(self._blocks):
            opening = event({"type": "content_block_start", "index": index, "content_block": block.opening})
            yield opening, block.opening_tokens
            if index == 0:
                yield _PING
            yield from _deltas(index, block)
            yield event({"type": "content_block_stop", "index": index}), 0

    def ending(self) -> Iterator[Frame]:
        delta = {"type": "message_delta", "delta": self._stopped(), "usage": self._usage(self._answer.tokens)}
        if self._context.behaviour.no_usage:
            del delta["usage"]
        for _ in range(2 if self._context.behaviour.usage_twice else 1):
            yield event(delta), 0
        yield event({"type": "message_stop"}), 0

    def _message(self) -> dict[str, Any]:
        return {
            "id": f"msg_{self._context.id}",
            "type": "message",
            "role": "assistant",
            "model": self._context.model,
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
        }

    def _stopped(self) -> dict[str, Any]:
        return {
            "stop_reason": _STOP_REASONS[self._answer.finish],
            "stop_sequence": self._answer.stop_sequence,
        }

    def _usage(self, output_tokens: int) -> dict[str, Any]:
        return {
            "input_tokens": self._total - self._read - self._written,
            "cache_creation_input_tokens": self._written,
            "cache_read_input_tokens": self._read,
            "output_tokens": output_tokens,
            "service_tier": self._context.behaviour.tier or "standard",
        }


def event(value: dict[str, Any]) -> bytes:
    return b"event: %s\ndata: %s\n\n" % (value["type"].encode(), msgspec.json.encode(value))


def error_event(body: bytes) -> bytes:
    return b"event: error\ndata: " + body + b"\n\n"


def _deltas(index: int, block: Block) -> Iterator[Frame]:
    head = b'event: content_block_delta\ndata: {"type":"content_block_delta","index":%d,"delta":' % index
    return ((head + delta + b"}\n\n" if delta else b"", tokens) for delta, tokens in block.deltas())
