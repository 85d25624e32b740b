"""Load over gRPC: the router's contract, and the floor's echo."""

from itertools import cycle
from typing import Any

import grpc

from bench.floor import SERVICE as FLOOR
from bench.generator.client import Answer, WrongAnswerError, now
from bench.generator.window import Window
from bench.upstream_answers import input_tokens, model_name, text_of
from headgate.common.v1 import cache_status_pb2, outcome_pb2
from headgate.router.v1 import completion_pb2 as pb
from headgate.router.v1.router_service_pb2_grpc import RouterServiceStub
from services._runtime.direct import open_cleartext_aio

_TIMEOUT_SECONDS = 60.0
_MAX_OUTPUT_TOKENS = 1024
_OPTIONS = [("grpc.max_receive_message_length", 64 * 1024 * 1024)]


class HeadgateClient:
    """Implements `Client`."""

    def __init__(self, address: str, connections: int) -> None:
        # Channels of one process share connections unless they are told not to.
        options = [*_OPTIONS, ("grpc.use_local_subchannel_pool", 1)]
        self._channels = [open_cleartext_aio(f"dns:///{address}", options) for _ in range(connections)]
        self._stubs = cycle([RouterServiceStub(channel) for channel in self._channels])

    async def ask(self, prompt: str, key: str, window: Window) -> Answer:
        request = pb.CompletionRequest(
            model=model_name(window.tokens, window.pace_ms),
            prompt=prompt,
            max_output_tokens=_MAX_OUTPUT_TOKENS,
            temperature=0,
        )
        metadata = (("authorization", f"Bearer {key}"),)
        try:
            if window.streamed:
                return await self._stream(request, metadata)
            return _of_completion(
                await next(self._stubs).Complete(request, timeout=_TIMEOUT_SECONDS, metadata=metadata)
            )
        except grpc.aio.AioRpcError as error:
            raise WrongAnswerError(f"{error.code().name}: {error.details()}") from None

    async def _stream(self, request: pb.CompletionRequest, metadata: tuple[tuple[str, str], ...]) -> Answer:
        answer, finished = Answer(), None
        events = next(self._stubs).StreamComplete(request, timeout=_TIMEOUT_SECONDS, metadata=metadata)
        async for event in events:
            answer.messages += 1
            match event.WhichOneof("event"):
                case "delta":
                    answer.piece(now())
                    answer.parts.append(event.delta.text)
                case "started":
                    answer.is_hit = event.started.cache_status == cache_status_pb2.CACHE_STATUS_EXACT
                case "finished":
                    finished = event.finished
        if finished is None:
            raise WrongAnswerError("a stream without its end")
        answer.text = "".join(answer.parts)
        _take_finished(finished, answer)
        return answer

    def is_right(self, answer: Answer, prompt: str, window: Window) -> bool:
        if answer.text != text_of(prompt, window.tokens):
            return False
        return answer.is_hit or (answer.input_tokens, answer.output_tokens) == (
            input_tokens(prompt),
            window.tokens,
        )

    async def close(self) -> None:
        for channel in self._channels:
            await channel.close()


def _of_completion(completion: pb.Completion) -> Answer:
    answer = Answer(messages=1)
    answer.text = "".join(part.text for choice in completion.choices for part in choice.message.parts)
    answer.is_hit = completion.cache_status == cache_status_pb2.CACHE_STATUS_EXACT
    _take_finished(completion.finished, answer)
    return answer


def _take_finished(finished: pb.Finished, answer: Answer) -> None:
    if finished.outcome != outcome_pb2.OUTCOME_COMPLETE:
        raise WrongAnswerError(f"ended as {outcome_pb2.Outcome.Name(finished.outcome)}")
    answer.input_tokens = finished.usage.input_tokens
    answer.output_tokens = finished.usage.output_tokens


class FloorClient:
    """Implements `Client`."""

    def __init__(self, address: str) -> None:
        self._channel = open_cleartext_aio(f"dns:///{address}", _OPTIONS)
        self._echo: Any = self._channel.unary_unary(f"/{FLOOR}/Echo")
        self._messages: Any = self._channel.unary_stream(f"/{FLOOR}/Stream")

    async def ask(self, prompt: str, key: str, window: Window) -> Answer:  # noqa: ARG002 - it asks for none
        answer = Answer()
        if not window.streamed:
            answer.text = (await self._echo(prompt.encode(), timeout=_TIMEOUT_SECONDS)).decode()
            answer.messages = 1
            return answer
        async for _ in self._messages(f"{window.tokens:04d}".encode(), timeout=_TIMEOUT_SECONDS):
            answer.piece(now())
            answer.messages += 1
        return answer

    def is_right(self, answer: Answer, prompt: str, window: Window) -> bool:
        return answer.messages == window.tokens if window.streamed else answer.text == prompt

    async def close(self) -> None:
        await self._channel.close()
