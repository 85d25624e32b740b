"""Requests, and what an adapter answered to one."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from headgate.chat.v1 import message_pb2
from headgate.chat.v1.finish_reason_pb2 import FinishReason
from headgate.common.v1 import usage_pb2
from headgate.router.v1 import completion_pb2
from services.router.holding import AnswerBytes, Share
from services.router.providers.answer import LARGEST_BODY_BYTES
from services.router.targets.provider import Chunk, Provider, ProviderError

Part = message_pb2.Part


def user(*parts: str | Part) -> message_pb2.Message:
    spoken = [Part(text=part) if isinstance(part, str) else part for part in parts]
    return message_pb2.Message(role=message_pb2.ROLE_USER, parts=spoken)


def request(*messages: message_pb2.Message, **fields: Any) -> completion_pb2.CompletionRequest:
    return completion_pb2.CompletionRequest(messages=messages or (user("hello there"),), **fields)


@dataclass
class Answer:
    chunks: list[Chunk] = field(default_factory=list)
    failure: ProviderError | None = None

    @property
    def events(self) -> list[completion_pb2.CompletionEvent]:
        return [event for chunk in self.chunks for event in chunk.events]

    @property
    def deltas(self) -> list[completion_pb2.Delta]:
        return [event.delta for event in self.events if event.HasField("delta")]

    def text(self, choice: int = 0) -> str:
        return "".join(delta.text for delta in self.deltas if delta.choice_index == choice)

    @property
    def reasoning(self) -> str:
        return "".join(delta.reasoning.text for delta in self.deltas)

    @property
    def calls(self) -> dict[int, tuple[str, str, str]]:
        """Id, name and arguments of each call."""
        calls: dict[int, tuple[str, str, str]] = {}
        for delta in self.deltas:
            if delta.HasField("tool_call"):
                piece = delta.tool_call
                id_, name, arguments = calls.get(piece.index, ("", "", ""))
                arguments += piece.arguments_fragment
                calls[piece.index] = (id_ + piece.id, name + piece.name, arguments)
        return calls

    @property
    def finishes(self) -> dict[int, tuple[str, str]]:
        ends = [event.choice_finished for event in self.events if event.HasField("choice_finished")]
        assert len({end.choice_index for end in ends}) == len(ends), "a choice finished twice"
        return {end.choice_index: (FinishReason.Name(end.finish_reason), end.raw_reason) for end in ends}

    @property
    def usage(self) -> usage_pb2.TokenUsage | None:
        told = [chunk.usage for chunk in self.chunks if chunk.usage is not None]
        return told[-1] if told else None

    @property
    def pieces(self) -> int:
        return sum(chunk.output_pieces for chunk in self.chunks)


def ask(
    provider: Provider,
    asked: completion_pb2.CompletionRequest | None = None,
    *,
    model: str = "sim-small@tokens=6",
    streamed: bool = True,
    max_output_tokens: int | None = 200,
    request_id: str = "",
    share: Share | None = None,
) -> AsyncGenerator[Chunk, None]:
    return provider.complete(
        model,
        request() if asked is None else asked,
        streamed=streamed,
        max_output_tokens=max_output_tokens,
        request_id=request_id,
        share=share or AnswerBytes(LARGEST_BODY_BYTES).share("caller"),
    )


async def answer(chunks: AsyncGenerator[Chunk, None]) -> Answer:
    """Everything until the end, and the failure if it ended in one."""
    whole = Answer()
    try:
        async for chunk in chunks:
            whole.chunks.append(chunk)
    except ProviderError as error:
        whole.failure = error
    return whole


class Control:
    """The simulator's control endpoints."""

    def __init__(self, http: aiohttp.ClientSession, simulator_url: str) -> None:
        self._http = http
        self._url = f"{simulator_url}/control"

    async def fault(self, **knobs: str | float | bool) -> None:
        async with self._http.post(f"{self._url}/faults", json={"faults": knobs}) as response:
            response.raise_for_status()

    async def served(self, request_id: str) -> dict[str, Any]:
        (record,) = await self.records(request_id)
        return record

    async def records(self, request_id: str) -> list[dict[str, Any]]:
        async with self._http.get(f"{self._url}/served", params={"request_id": request_id}) as response:
            found: list[dict[str, Any]] = (await response.json())["served"]
            return found
