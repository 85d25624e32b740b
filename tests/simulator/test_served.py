"""The ledger and the control endpoints: what was served, to whom, and the faults of the next requests."""

import asyncio
from typing import Any

import aiohttp
import openai
import pytest
from anthropic import AsyncAnthropic
from openai import AsyncOpenAI

HELLO: list[Any] = [{"role": "user", "content": "Hello there"}]


async def test_each_request_is_recorded_as_it_was_billed(
    openai_client: AsyncOpenAI,
    anthropic_client: AsyncAnthropic,
    control: Any,
) -> None:
    chat = await openai_client.chat.completions.create(
        model="sim-reasoning@cached=1",
        messages=HELLO,
        extra_headers={"x-request-id": "mine"},
    )
    async with anthropic_client.messages.stream(model="sim-small", messages=HELLO, max_tokens=7) as stream:
        message = await stream.get_final_message()
    first, second = await control.served()
    assert chat.usage is not None
    assert 0 < first["started_at"] <= first["ended_at"] <= second["started_at"] <= second["ended_at"]
    assert first | {"started_at": 0, "ended_at": 0} == {
        "seq": 1,
        "id": "sim-1",
        "request_id": "mine",
        "api": "openai.chat",
        "started_at": 0,
        "ended_at": 0,
        "model": "sim-reasoning",
        "streamed": False,
        "input_tokens": 2,
        "cached_tokens": 1,
        "cache_written_tokens": 0,
        "output_tokens": chat.usage.completion_tokens,
        "written_tokens": chat.usage.completion_tokens,
        "reasoning_tokens": 16,
        "tier": "",
        "status": 200,
        "outcome": "complete",
    }
    assert (second["api"], second["streamed"], second["outcome"]) == ("anthropic.messages", True, "complete")
    assert (second["written_tokens"], message.usage.output_tokens) == (7, 7)


async def test_refusals_and_faults_are_recorded_with_their_status(
    openai_client: AsyncOpenAI, control: Any
) -> None:
    for model in ("no-such-model", "sim-small@status=503"):
        with pytest.raises(openai.APIStatusError):
            await openai_client.chat.completions.create(model=model, messages=HELLO)
    found = [(each["outcome"], each["status"], each["written_tokens"]) for each in await control.served()]
    assert found == [("refused", 404, 0), ("fault", 503, 0)]


async def test_a_client_that_cancels_mid_stream_stops_the_generation(
    openai_client: AsyncOpenAI, control: Any
) -> None:
    stream = await openai_client.chat.completions.create(
        model="sim-small@tokens=100000,gap=1ms",
        messages=HELLO,
        stream=True,
        extra_headers={"x-request-id": "cancelled"},
    )
    seen = 0
    async for chunk in stream:
        seen += bool(chunk.choices[0].delta.content)
        if seen == 3:
            break
    await stream.close()
    record = await control.ended("cancelled")
    assert record["outcome"] == "client_gone"
    assert 3 <= record["written_tokens"] <= record["output_tokens"] < 100_000


async def test_a_client_that_leaves_a_whole_answer_is_recorded_with_what_was_generated(
    openai_client: AsyncOpenAI,
    control: Any,
) -> None:
    impatient = openai_client.with_options(timeout=0.5, default_headers={"x-request-id": "left"})
    with pytest.raises(openai.APITimeoutError):
        await impatient.chat.completions.create(model="sim-small@tokens=10000,gap=10ms", messages=HELLO)
    record = await control.ended("left")
    assert record["outcome"] == "client_gone"
    assert 1 <= record["output_tokens"] < 10_000
    assert record["written_tokens"] == 0


async def test_a_client_that_reads_no_further_holds_the_generation_back(
    http: aiohttp.ClientSession,
    base_url: str,
    control: Any,
) -> None:
    body = {"model": "sim-small@tokens=200000", "messages": HELLO, "stream": True}
    url, headers = f"{base_url}/v1/chat/completions", {"x-request-id": "slow-reader"}
    async with http.post(url, json=body, headers=headers) as response:
        await response.content.readline()
        response.close()
    record = await control.ended("slow-reader")
    assert record["outcome"] == "client_gone"
    # What is generated and not written is at most the one write in which the client was lost.
    assert 0 <= record["output_tokens"] - record["written_tokens"] <= 256
    assert record["output_tokens"] < 200_000


async def test_a_client_that_leaves_a_hundred_times_is_a_hundred_records(
    http: aiohttp.ClientSession, base_url: str, control: Any
) -> None:
    body = {"model": "sim-small@tokens=50,hang-after=20", "messages": HELLO, "stream": True}

    async def leave(number: int) -> dict[str, Any]:
        headers = {"x-request-id": f"r{number}"}
        async with http.post(f"{base_url}/v1/chat/completions", json=body, headers=headers) as response:
            await response.content.readline()
            response.close()
        record: dict[str, Any] = await control.ended(f"r{number}")
        return record

    records = await asyncio.gather(*[leave(number) for number in range(100)])
    assert {record["outcome"] for record in records} == {"client_gone"}
    assert {record["written_tokens"] for record in records} == {20}


async def test_a_running_request_shows_what_it_wrote_so_far(openai_client: AsyncOpenAI, control: Any) -> None:
    stream = await openai_client.chat.completions.create(
        model="sim-small@hang-after=3", messages=HELLO, stream=True
    )
    texts = 0
    async for chunk in stream:
        texts += bool(chunk.choices[0].delta.content)
        if texts == 3:
            break
    assert (await control.served())[0]["written_tokens"] == 3
    await stream.close()


async def test_records_are_listed_since_a_number_and_numbers_survive_a_reset(
    openai_client: AsyncOpenAI,
    control: Any,
) -> None:
    for _ in range(3):
        await openai_client.chat.completions.create(model="sim-small", messages=HELLO)
    assert [each["seq"] for each in await control.served(since=1)] == [2, 3]
    await control.reset()
    assert await control.served() == []
    await openai_client.chat.completions.create(model="sim-small", messages=HELLO)
    assert [each["seq"] for each in await control.served(since=2)] == [4]
    assert await control.served(since=4) == []


async def test_a_fault_strikes_as_often_as_it_was_set_and_only_its_model(
    openai_client: AsyncOpenAI,
    control: Any,
) -> None:
    assert (
        await control.fault({"faults": {"status": 429, "retry-after": 2.5}, "model": "sim-small", "count": 2})
        == 204
    )
    await openai_client.chat.completions.create(model="sim-large", messages=HELLO)
    for _ in range(2):
        with pytest.raises(openai.RateLimitError) as caught:
            await openai_client.chat.completions.create(model="sim-small@ttft=0", messages=HELLO)
        assert caught.value.response.headers["retry-after"] == "2.5"
    await openai_client.chat.completions.create(model="sim-small", messages=HELLO)


async def test_a_fault_without_a_count_limit_lasts_until_it_is_cleared(
    openai_client: AsyncOpenAI, control: Any
) -> None:
    await control.fault({"faults": {"status": 500}, "count": None})
    for _ in range(3):
        with pytest.raises(openai.InternalServerError):
            await openai_client.chat.completions.create(model="sim-small", messages=HELLO)
    assert await control.faults() == [
        {"faults": {"status": "500"}, "model": None, "remaining": None, "user": None}
    ]
    await control.clear_faults()
    await openai_client.chat.completions.create(model="sim-small", messages=HELLO)


async def test_a_header_wins_over_a_fault_and_a_fault_over_the_model_name(
    openai_client: AsyncOpenAI,
    control: Any,
) -> None:
    async def tokens(**headers: str) -> int:
        answer = await openai_client.chat.completions.create(
            model="sim-small@tokens=1",
            messages=HELLO,
            extra_headers=headers,
        )
        assert answer.usage is not None
        return answer.usage.completion_tokens

    assert await tokens() == 1
    await control.fault({"faults": {"tokens": 2}, "count": 2})
    assert await tokens() == 2
    assert await tokens(**{"X-Simulator-Tokens": "3"}) == 3


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"faults": {"speed": 1}},
        {"faults": {"status": 200}},
        {"faults": {}, "count": 0},
        {"faults": {}, "often": 1},
    ],
)
async def test_a_fault_that_makes_no_sense_is_refused(control: Any, body: dict[str, Any]) -> None:
    assert await control.fault(body) == 400
    assert await control.faults() == []


async def test_health_answers(http: Any, base_url: str) -> None:
    async with http.get(f"{base_url}/control/health") as response:
        assert (response.status, (await response.json())["status"]) == (200, "ok")
