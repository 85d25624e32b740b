"""OpenAI's older text completions, with one prompt or a list, streamed and not."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import msgspec

from simulator.answer import Answer, Finish, Segment, Task, compose, segments_seed
from simulator.behaviour import split_model
from simulator.errors import ApiError
from simulator.frame import Frame, interleave
from simulator.openai_prompt import stops_of
from simulator.openai_schema import CompletionRequest
from simulator.openai_usage import FINGERPRINT, FINISH_REASONS, event, final_frames, usage
from simulator.reply import Context, Reply

_DEFAULT_MAX_TOKENS = 16


def reply_to_completion(asked: CompletionRequest, context: Context) -> Reply:
    prompts = inputs_of(asked.prompt, "prompt")
    if asked.stream_options is not None and not asked.stream:
        raise ApiError(400, "'stream_options' is only allowed when 'stream' is enabled.", "stream_options")
    texts = CompletionTexts(asked, context, prompts)
    return Reply(
        input_tokens=texts.input_tokens,
        body=texts.body,
        frames=texts.frames if asked.stream else None,
        ending=texts.ending,
        cached_tokens=texts.cached_tokens,
        output_tokens=texts.output_tokens,
    )


def inputs_of(given: str | list[str | int | list[int]], param: str) -> list[Segment]:
    """One segment per text; a list of numbers is one text that is tokens already.

    :raises ApiError: 400 for an empty list
    """
    if isinstance(given, str):
        return [Segment.of(given)]
    if not given:
        raise ApiError(400, f"Invalid '{param}': expected at least one item.", param, "empty_array")
    numbers = [each for each in given if isinstance(each, int)]
    if numbers and len(numbers) < len(given):
        raise ApiError(400, f"Invalid '{param}': texts and tokens are mixed.", param, "invalid_value")
    if numbers:
        return [_from_tokens(numbers)]
    return [
        Segment.of(each) if isinstance(each, str) else _from_tokens(each)
        for each in given
        if not isinstance(each, int)
    ]


def _from_tokens(tokens: list[int]) -> Segment:
    return Segment(" ".join(map(str, tokens)), len(tokens))


class CompletionTexts:
    """Choice `p * n + i` is the i-th answer to prompt p."""

    def __init__(self, asked: CompletionRequest, context: Context, prompts: list[Segment]) -> None:
        self._asked = asked
        self._context = context
        self._prompts = prompts
        # This endpoint is older than reasoning.
        unreasoned = replace(context.behaviour, reasoning_tokens=0)
        self._choices = [
            (prompt.text if asked.echo else "", compose(self._task(prompt), unreasoned, choice))
            for prompt in prompts
            for choice in range(asked.n or 1)
        ]
        self.input_tokens = sum(prompt.tokens for prompt in prompts)
        self.cached_tokens = min(context.behaviour.cached_tokens, self.input_tokens)
        self.output_tokens = sum(answer.tokens for _, answer in self._choices)

    def body(self) -> bytes:
        choices = [
            _choice(index, echo + "".join(answer.text), answer.finish)
            for index, (echo, answer) in enumerate(self._choices)
        ]
        whole = self._head() | {"choices": choices}
        if not self._context.behaviour.no_usage:
            whole["usage"] = self._usage()
        return msgspec.json.encode(whole)

    def frames(self) -> Iterator[Frame]:
        running = self._head() | {"usage": None} if self._includes_usage() else self._head()
        streams = [
            _events(running, index, echo, answer) for index, (echo, answer) in enumerate(self._choices)
        ]
        return interleave(streams)

    def ending(self) -> list[Frame]:
        told = self._includes_usage() and not self._context.behaviour.no_usage
        return final_frames(self._head(), self._usage() if told else None)

    def _includes_usage(self) -> bool:
        options = self._asked.stream_options
        return options is not None and bool(options.include_usage)

    def _task(self, prompt: Segment) -> Task:
        asked = self._asked
        model, _ = split_model(asked.model)
        limit = _DEFAULT_MAX_TOKENS if asked.max_tokens is None else asked.max_tokens
        return Task(segments_seed([prompt], model, asked.seed), max_tokens=limit, stop=stops_of(asked.stop))

    def _head(self) -> dict[str, Any]:
        return {
            "id": f"cmpl-{self._context.id}",
            "object": "text_completion",
            "created": self._context.created,
            "model": self._context.model,
            "system_fingerprint": FINGERPRINT,
        }

    def _usage(self) -> dict[str, Any]:
        return usage(self.input_tokens, self.output_tokens, self.cached_tokens, 0)


def _events(head: dict[str, Any], index: int, echo: str, answer: Answer) -> Iterator[Frame]:
    def chunk(text: str, finish: Finish | None = None) -> bytes:
        return event(head | {"choices": [_choice(index, text, finish)]})

    if echo:
        yield chunk(echo), 0
    yield from ((chunk(token), 1) for token in answer.text)
    yield chunk("", answer.finish), 0


def _choice(index: int, text: str, finish: Finish | None) -> dict[str, Any]:
    reason = FINISH_REASONS[finish] if finish else None
    return {"text": text, "index": index, "logprobs": None, "finish_reason": reason}
