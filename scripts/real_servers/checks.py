"""What a server is asked, through the adapter, and how its answers are told."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from headgate.chat.v1 import message_pb2, tool_pb2
from headgate.chat.v1.finish_reason_pb2 import FinishReason
from headgate.common.v1 import usage_pb2
from headgate.router.v1 import completion_pb2
from services.router.holding import AnswerBytes
from services.router.targets.provider import Chunk, Provider, ProviderError

CONTEXT = 512


@dataclass(slots=True)
class Got:
    """An answer as the adapter tells it."""

    text: str = ""
    finish: str = ""
    usage: usage_pb2.TokenUsage | None = None
    pieces: int = 0
    failure: ProviderError | None = None

    def take(self, chunk: Chunk) -> None:
        self.pieces += chunk.output_pieces
        self.usage = chunk.usage or self.usage
        for event in chunk.events:
            self.text += event.delta.text
            if event.HasField("choice_finished"):
                self.finish = FinishReason.Name(event.choice_finished.finish_reason).removeprefix(
                    "FINISH_REASON_"
                )

    def told(self) -> str:
        if self.failure is not None:
            return f"{self.failure.kind}: {self.failure.message}"
        used = (
            "no usage"
            if self.usage is None
            else f"{self.usage.input_tokens} + {self.usage.output_tokens} tokens"
        )
        return f"{self.finish}, {used}"


class Trial:
    def __init__(self, provider: Provider, model: str) -> None:
        self._provider = provider
        self._model = model

    async def ask(self, *turns: str, streamed: bool = False, stop_after: int = 0, **fields: Any) -> Got:
        roles = [message_pb2.ROLE_USER, message_pb2.ROLE_ASSISTANT]
        messages = [
            message_pb2.Message(role=roles[at % 2], parts=[message_pb2.Part(text=text)])
            for at, text in enumerate(turns or ("Hello there",))
        ]
        fields = {"temperature": 0.0} | fields
        model = fields.pop("model", self._model)
        most = fields.pop("most", 8)
        request = completion_pb2.CompletionRequest(messages=fields.pop("before", []) + messages, **fields)
        got = Got()
        chunks = self._provider.complete(
            model,
            request,
            streamed=streamed,
            max_output_tokens=most,
            request_id="cmpl_1.1",
            share=AnswerBytes(1 << 26).share(""),
        )
        try:
            async for chunk in chunks:
                got.take(chunk)
                if stop_after and got.pieces >= stop_after:
                    break
        except ProviderError as error:
            got.failure = error
        await chunks.aclose()
        return got

    async def count(self, *turns: str) -> int | None:
        message = message_pb2.Message(
            role=message_pb2.ROLE_USER, parts=[message_pb2.Part(text=" ".join(turns))]
        )
        return await self._provider.count_tokens(
            self._model, completion_pb2.CompletionRequest(messages=[message])
        )


Check = Callable[[Trial], Awaitable[str]]


async def whole(trial: Trial) -> str:
    return (await trial.ask()).told()


async def streamed(trial: Trial) -> str:
    return (await trial.ask(streamed=True)).told()


async def limited(trial: Trial) -> str:
    return (await trial.ask(streamed=True, most=3)).told()


async def stopped(trial: Trial) -> str:
    return (await trial.ask(stop=["a", "e"], most=32)).told()


async def instructed(trial: Trial) -> str:
    before = [message_pb2.Message(role=message_pb2.ROLE_SYSTEM, parts=[message_pb2.Part(text="Be brief.")])]
    return (await trial.ask("Hi", "Hello", "And?", before=before)).told()


async def with_tools(trial: Trial) -> str:
    tool = tool_pb2.Tool(name="f", description="d", parameters_json='{"type":"object","properties":{}}')
    return (await trial.ask(tools=[tool])).told()


async def two_at_once(trial: Trial) -> str:
    both = await asyncio.gather(trial.ask(streamed=True), trial.ask("Good bye", streamed=True))
    return "; ".join(got.told() for got in both)


async def left_early(trial: Trial) -> str:
    left = await trial.ask(streamed=True, most=64, stop_after=2)
    after = await trial.ask(streamed=True)
    return f"left after {left.pieces} pieces; then {after.told()}"


async def too_long(trial: Trial) -> str:
    return (await trial.ask("word " * 4 * CONTEXT)).told()


async def unknown_model(trial: Trial) -> str:
    return (await trial.ask(model="no-such-model")).told()


async def counted(trial: Trial) -> str:
    prompt = "How many tokens is this?"
    got = await trial.ask(prompt)
    if got.failure is not None:
        return got.told()
    try:
        by_endpoint = await trial.count(prompt)
    except ProviderError as error:
        return f"{error.kind}: {error.message}"
    usage = "none told" if got.usage is None else str(got.usage.input_tokens)
    return f"usage {usage}, counted {by_endpoint}"


CHECKS: dict[str, Check] = {
    "a whole answer": whole,
    "a stream": streamed,
    "at most 3 tokens": limited,
    "stop sequences": stopped,
    "instructions and turns": instructed,
    "a tool": with_tools,
    "two at once": two_at_once,
    "left early": left_early,
    "a prompt beyond its window": too_long,
    "a model that it has not": unknown_model,
    "input tokens": counted,
}
