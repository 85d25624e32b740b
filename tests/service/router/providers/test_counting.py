"""Who counts a prompt's tokens, where a server tells no usage."""

from typing import Any

import pytest

from headgate.common.v1 import usage_pb2
from headgate.router.v1 import completion_pb2, router_service_pb2
from services.router.targets.provider import FailureKind, ProviderError
from tests.service.router.conftest import StartRouter, start_router
from tests.service.router.providers.asking import request, user
from tests.service.router.providers.conftest import Build
from tests.support.accounting import all_settled
from tests.support.raw_http import answering, refusal, saying

__all__ = ["start_router"]
SERVERS = ["vllm", "llama_cpp", "llama_cpp_python"]
WORDS = "one two three four five"


@pytest.mark.parametrize("server", SERVERS)
async def test_each_servers_way_to_count_is_asked(built: Build, simulator_url: str, server: str) -> None:
    provider = built("openai", f"{simulator_url}/v1", token_counter=server)
    counted = await provider.count_tokens("sim-small", request(user(WORDS)))
    assert counted is not None
    assert 5 <= counted <= 7


@pytest.mark.parametrize("server", SERVERS)
@pytest.mark.parametrize("body", [b"", b"{}", b'{"count":"many"}', b'{"count":-1}', b"[]"])
async def test_a_count_that_is_none_is_a_failure(built: Build, server: str, body: bytes) -> None:
    head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body)
    async with saying(head + body) as (url, heard):
        with pytest.raises(ProviderError) as caught:
            await built("openai", url, token_counter=server).count_tokens("m", request(user(WORDS)))
    assert caught.value.kind is FailureKind.MALFORMED
    assert b"/v1/" not in heard[0].partition(b"\r\n")[0]


def section(url: str = "simulator:/v1", **provider: Any) -> dict[str, Any]:
    return {
        "providers": {"sim": {"api": "openai", "base_url": url, **provider}},
        "targets": {"t": {"provider": "sim", "model": "sim-small@tokens=4,no-usage=1"}},
        "models": {"m": {"targets": ["t"]}},
    }


@pytest.mark.parametrize("streamed", [True, False], ids=["streamed", "whole"])
@pytest.mark.parametrize("server", ["", *SERVERS])
async def test_an_answer_without_usage_is_booked_by_the_servers_own_tokens(
    start_router: StartRouter, server: str, streamed: bool
) -> None:
    prompt = f"{WORDS} " * 40
    provider = {"token_counter": server} if server else {}
    async with start_router(section(**provider)) as suite:
        asked = completion_pb2.CompletionRequest(model="m", prompt=prompt, max_output_tokens=9)
        if streamed:
            async for event in suite.router.StreamComplete(asked, metadata=suite.metadata):
                finished = event.finished
        else:
            finished = (await suite.router.Complete(asked, metadata=suite.metadata)).finished
        await all_settled(suite)
        (entry,) = await suite.entries()
        told = await suite.router.CountTokens(
            router_service_pb2.CountTokensRequest(model="m", prompt=prompt), metadata=suite.metadata
        )
    booked = entry.record.usage
    assert booked == finished.usage
    assert booked.source == usage_pb2.USAGE_SOURCE_ESTIMATED
    assert booked.output_tokens >= 4
    assert booked.input_tokens == told.input_tokens
    if server:
        assert 200 <= booked.input_tokens <= 203
        assert told.source == usage_pb2.USAGE_SOURCE_PROVIDER
    else:
        assert booked.input_tokens > 203


async def test_a_server_that_will_not_count_leaves_the_estimate_and_the_answer(
    start_router: StartRouter,
) -> None:
    body = b'{"choices":[{"message":{"content":"hi"},"finish_reason":"stop"}]}'
    head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body)

    def said(heard: bytes) -> tuple[bytes, ...]:
        return (refusal(404, b""),) if heard.startswith(b"POST /tokenize") else (head + body,)

    async with (
        answering(said, close=False) as (url, heard),
        start_router(section(url, token_counter="vllm")) as suite,
    ):
        asked = completion_pb2.CompletionRequest(model="m", prompt=WORDS, max_output_tokens=9)
        whole = await suite.router.Complete(asked, metadata=suite.metadata)
    assert any(each.startswith(b"POST /tokenize") for each in heard)
    assert [attempt.error for attempt in whole.finished.attempts] == [""]
    assert whole.finished.usage.source == usage_pb2.USAGE_SOURCE_ESTIMATED
    assert whole.finished.usage.input_tokens > 0
