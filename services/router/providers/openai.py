"""Any server that speaks OpenAI's chat completions: OpenAI, Together, vLLM, Ollama, llama.cpp."""

from collections.abc import AsyncGenerator, Sequence

import msgspec

from headgate.router.v1 import completion_pb2
from services.router.holding import AnswerBytes, Share
from services.router.providers import exchange
from services.router.providers.openai_answer import OpenAiReader
from services.router.providers.openai_body import body_of
from services.router.providers.openai_counting import ENDPOINTS, read_count
from services.router.providers.openai_dialect import Dialect
from services.router.providers.openai_fit import misfits
from services.router.providers.pool import Pool
from services.router.targets.declaration import TokenCounter
from services.router.targets.provider import Chunk, Unsupported


class OpenAiProvider:
    """Implements `Provider`."""

    def __init__(self, pool: Pool, dialect: Dialect, token_counter: TokenCounter | None = None) -> None:
        self._pool = pool
        self._dialect = dialect
        self._url = pool.url("chat/completions")
        self._counting = None if token_counter is None else ENDPOINTS[token_counter]

    def unsupported(self, request: completion_pb2.CompletionRequest) -> Sequence[Unsupported]:
        return tuple(misfits(request, self._dialect))

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
                self._dialect,
                streamed=streamed,
                max_output_tokens=max_output_tokens,
                provider=self._pool.provider,
            )

        reader = OpenAiReader(request.choice_count or 1, self._pool.masking, self._pool.provider)
        answer = exchange.stream if streamed else exchange.whole
        return answer(self._pool, exchange.Question(self._url, encode, request_id, share), reader)

    async def count_tokens(self, model: str, request: completion_pb2.CompletionRequest) -> int | None:
        if self._counting is None:
            return None
        endpoint = self._counting
        # A count is small: for a large answer there is no room.
        share = AnswerBytes(0).share("")
        asked = exchange.Question(
            self._pool.root_url(endpoint.path),
            lambda: msgspec.json.encode(endpoint.body(model, request)),
            "",
            share,
        )
        return read_count(endpoint, await exchange.fetch(self._pool, asked, self._pool.timeouts.first_token))

    async def warm_up(self) -> None:
        await self._pool.warm_up("models")

    async def close(self) -> None:
        await self._pool.close()
