"""Any server that speaks OpenAI's chat completions: OpenAI, Together, vLLM, Ollama, llama.cpp."""

from collections.abc import AsyncGenerator, Sequence

from headgate.router.v1 import completion_pb2
from services.router.holding import Share
from services.router.providers import exchange
from services.router.providers.openai_answer import OpenAiReader
from services.router.providers.openai_body import body_of
from services.router.providers.openai_dialect import Dialect
from services.router.providers.openai_fit import misfits
from services.router.providers.pool import Pool
from services.router.targets.provider import Chunk, Unsupported


class OpenAiProvider:
    """Implements `Provider`."""

    def __init__(self, pool: Pool, dialect: Dialect) -> None:
        self._pool = pool
        self._dialect = dialect
        self._url = pool.url("chat/completions")

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

    async def count_tokens(
        self,
        model: str,  # noqa: ARG002 — the API has no way to ask
        request: completion_pb2.CompletionRequest,  # noqa: ARG002
    ) -> int | None:
        return None

    async def warm_up(self) -> None:
        await self._pool.warm_up("models")

    async def close(self) -> None:
        await self._pool.close()
