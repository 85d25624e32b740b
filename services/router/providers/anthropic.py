"""Anthropic's Messages API."""

from collections.abc import AsyncGenerator, Sequence

import msgspec

from headgate.router.v1 import completion_pb2
from services.router.holding import AnswerBytes, Share
from services.router.providers import exchange
from services.router.providers.anthropic_answer import AnthropicReader
from services.router.providers.anthropic_body import body_of, count_body_of
from services.router.providers.anthropic_fit import misfits
from services.router.providers.failures import malformed
from services.router.providers.json_text import UNREADABLE
from services.router.providers.pool import Pool
from services.router.targets.provider import Chunk, Unsupported

VERSION = "2023-06-01"


class _Count(msgspec.Struct):
    input_tokens: int


_COUNTS = msgspec.json.Decoder(_Count)


class AnthropicProvider:
    """Implements `Provider`."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._url = pool.url("messages")
        self._count_url = pool.url("messages/count_tokens")

    def unsupported(self, request: completion_pb2.CompletionRequest) -> Sequence[Unsupported]:
        return tuple(misfits(request))

    def complete(
        self,
        model: str,
        request: completion_pb2.CompletionRequest,
        *,
        streamed: bool,
        max_output_tokens: int | None,
        request_id: str,
        share: Share,
    ) -> AsyncGenerator[Chunk, None]:
        def encode() -> bytes:
            return body_of(
                model,
                request,
                streamed=streamed,
                max_output_tokens=max_output_tokens,
                provider=self._pool.provider,
            )

        answer = exchange.stream if streamed else exchange.whole
        asked = exchange.Question(self._url, encode, request_id, share)
        return answer(self._pool, asked, AnthropicReader(self._pool.masking, self._pool.provider))

    async def count_tokens(self, model: str, request: completion_pb2.CompletionRequest) -> int | None:
        seconds = self._pool.timeouts.first_token
        # A count is small: for a large answer there is no room.
        share = AnswerBytes(0).share("")
        asked = exchange.Question(
            self._count_url, lambda: count_body_of(model, request, self._pool.provider), "", share
        )
        body = await exchange.fetch(self._pool, asked, seconds)
        try:
            return _COUNTS.decode(body).input_tokens
        except UNREADABLE as error:
            raise malformed("a count that is not the protocol's", error) from None

    async def warm_up(self) -> None:
        await self._pool.warm_up("models")

    async def close(self) -> None:
        await self._pool.close()
