"""`python -m bench.generator`: reads a target, then windows, as JSON lines; answers each with what it saw."""

import asyncio
import gc
import sys

import msgspec

from bench.generator.client import Client, WrongAnswerError, now
from bench.generator.grpc_clients import FloorClient, HeadgateClient
from bench.generator.http_client import OpenAiClient
from bench.generator.questions import question
from bench.generator.window import Seen, Target, Window

_ERRORS_TO_STOP_AT = 20


class Load:
    """One window in the making."""

    def __init__(self, client: Client, keys: tuple[str, ...], window: Window) -> None:
        self.seen = Seen()
        self._client = client
        self._keys = keys
        self._window = window
        self._numbers = iter(range(window.first, window.first + window.requests))

    async def run(self) -> Seen:
        began = now()
        deadline, window = began + self._window.seconds, self._window
        delays = [window.ramp_seconds * index / window.concurrency for index in range(window.concurrency)]
        async with asyncio.TaskGroup() as tasks:
            for delay in delays:
                tasks.create_task(self._one_in_flight(delay, deadline))
        self.seen.seconds = now() - began
        return self.seen

    async def _one_in_flight(self, delay: float, deadline: float) -> None:
        if delay:
            await asyncio.sleep(delay)
        while now() < deadline and self.seen.errors < _ERRORS_TO_STOP_AT:
            number = next(self._numbers, None)
            if number is None:
                return
            try:
                await self._ask(number)
            except WrongAnswerError as error:
                self.seen.errors += 1
                self.seen.first_error = self.seen.first_error or str(error)

    async def _ask(self, number: int) -> None:
        window, asked = self._window, question(self._window, number)
        began = now()
        answer = await self._client.ask(asked.prompt, self._keys[asked.key], window)
        ended = now()
        if not self._client.is_right(answer, asked.prompt, window):
            raise WrongAnswerError(f"a wrong answer to {asked.prompt[:20]!r}: {answer.text[:60]!r} {answer}")
        seen = self.seen
        seen.requests += 1
        seen.cache_hits += answer.is_hit
        seen.messages += answer.messages
        seen.latencies_us.append(round((ended - began) * 1e6))
        if not answer.is_hit:
            seen.input_tokens += answer.input_tokens
            seen.output_tokens += answer.output_tokens
        if answer.first_token_at:
            seen.first_tokens_us.append(round((answer.first_token_at - began) * 1e6))
            seen.longest_gap_us = max(seen.longest_gap_us, round(answer.longest_gap * 1e6))


def _client(target: Target) -> Client:
    match target.protocol:
        case "headgate":
            return HeadgateClient(target.address, target.connections)
        case "floor":
            return FloorClient(target.address)
        case _:
            return OpenAiClient(target)


async def _serve() -> None:
    loop = asyncio.get_running_loop()
    target = msgspec.json.decode(sys.stdin.buffer.readline(), type=Target)
    client = _client(target)
    print("ready", flush=True)
    while line := await loop.run_in_executor(None, sys.stdin.buffer.readline):
        gc.collect()
        gc.freeze()
        seen = await Load(client, target.keys, msgspec.json.decode(line, type=Window)).run()
        sys.stdout.buffer.write(msgspec.json.encode(seen) + b"\n")
        sys.stdout.buffer.flush()
    await client.close()


if __name__ == "__main__":
    asyncio.run(_serve())
