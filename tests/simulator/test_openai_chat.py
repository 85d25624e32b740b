"""The OpenAI SDK reads the simulator's chat completions, streamed and not."""

from openai import AsyncOpenAI
from openai.types.chat import ChatCompletionChunk, ChatCompletionUserMessageParam
from pydantic import BaseModel

HELLO: list[ChatCompletionUserMessageParam] = [{"role": "user", "content": "Say something about rivers."}]
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="


class City(BaseModel):
    name: str
    population: int
    districts: list[str]


def text_of(chunks: list[ChatCompletionChunk], index: int = 0) -> str:
    choices = [choice for chunk in chunks for choice in chunk.choices if choice.index == index]
    return "".join(choice.delta.content or "" for choice in choices)


async def test_the_same_request_gets_the_same_text_streamed_or_not(openai_client: AsyncOpenAI) -> None:
    first = await openai_client.chat.completions.create(model="sim-small", messages=HELLO)
    again = await openai_client.chat.completions.create(model="sim-small", messages=HELLO)
    stream = await openai_client.chat.completions.create(model="sim-small", messages=HELLO, stream=True)
    streamed = text_of([chunk async for chunk in stream])
    assert first.choices[0].message.content
    assert first.choices[0].message.content == again.choices[0].message.content == streamed


async def test_another_prompt_model_or_seed_gets_another_text(openai_client: AsyncOpenAI) -> None:
    create = openai_client.chat.completions.create
    answers = [
        await create(model="sim-small", messages=HELLO),
        await create(model="sim-large", messages=HELLO),
        await create(model="sim-small", messages=HELLO, seed=7),
        await create(model="sim-small", messages=[{"role": "user", "content": "Say something else."}]),
    ]
    assert len({answer.choices[0].message.content for answer in answers}) == 4


async def test_pacing_in_the_model_name_changes_no_word(openai_client: AsyncOpenAI) -> None:
    plain = await openai_client.chat.completions.create(model="sim-small", messages=HELLO)
    paced = await openai_client.chat.completions.create(model="sim-small@ttft=1ms,gap=1us", messages=HELLO)
    assert paced.choices[0].message.content == plain.choices[0].message.content
    assert paced.model == "sim-small@ttft=1ms,gap=1us"


async def test_usage_counts_prompt_and_answer(openai_client: AsyncOpenAI) -> None:
    answer = await openai_client.chat.completions.create(model="sim-small@tokens=5,cached=2", messages=HELLO)
    assert answer.usage is not None
    assert answer.usage.prompt_tokens == 5  # Say / something is two pieces / about / rivers.
    assert answer.usage.completion_tokens == 5
    assert answer.usage.total_tokens == 10
    assert answer.usage.prompt_tokens_details is not None
    assert answer.usage.prompt_tokens_details.cached_tokens == 2


async def test_a_stream_ends_with_its_usage_only_when_that_is_asked_for(openai_client: AsyncOpenAI) -> None:
    silent = await openai_client.chat.completions.create(
        model="sim-small@tokens=3", messages=HELLO, stream=True
    )
    assert [chunk.usage async for chunk in silent] == [None] * 5
    telling = await openai_client.chat.completions.create(
        model="sim-small@tokens=3",
        messages=HELLO,
        stream=True,
        stream_options={"include_usage": True},
    )
    chunks = [chunk async for chunk in telling]
    assert [chunk.usage for chunk in chunks[:-1]] == [None] * 5
    assert chunks[-1].choices == []
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens == 3


async def test_max_tokens_cuts_the_text_to_a_prefix(openai_client: AsyncOpenAI) -> None:
    whole = await openai_client.chat.completions.create(model="sim-small@tokens=20", messages=HELLO)
    short = await openai_client.chat.completions.create(
        model="sim-small@tokens=20",
        messages=HELLO,
        max_completion_tokens=4,
    )
    assert whole.choices[0].finish_reason == "stop"
    assert short.choices[0].finish_reason == "length"
    assert short.usage is not None
    assert short.usage.completion_tokens == 4
    assert str(whole.choices[0].message.content).startswith(str(short.choices[0].message.content))


async def test_a_stop_sequence_ends_the_text_before_itself(openai_client: AsyncOpenAI) -> None:
    whole = await openai_client.chat.completions.create(model="sim-small@tokens=20", messages=HELLO)
    text = str(whole.choices[0].message.content)
    stop = text.split()[5]
    stopped = await openai_client.chat.completions.create(
        model="sim-small@tokens=20", messages=HELLO, stop=[stop]
    )
    assert stopped.choices[0].message.content == text[: text.index(stop)]
    assert stopped.choices[0].finish_reason == "stop"


async def test_choices_differ_and_stream_interleaved(openai_client: AsyncOpenAI) -> None:
    whole = await openai_client.chat.completions.create(model="sim-small@tokens=6", messages=HELLO, n=2)
    stream = await openai_client.chat.completions.create(
        model="sim-small@tokens=6", messages=HELLO, n=2, stream=True
    )
    chunks = [chunk async for chunk in stream]
    texts = [choice.message.content for choice in whole.choices]
    assert texts[0] != texts[1]
    assert [text_of(chunks, 0), text_of(chunks, 1)] == texts
    assert whole.usage is not None
    assert whole.usage.completion_tokens == 12


async def test_a_reasoning_model_reasons_before_it_answers(openai_client: AsyncOpenAI) -> None:
    answer = await openai_client.chat.completions.create(model="sim-reasoning@tokens=5", messages=HELLO)
    assert answer.usage is not None
    assert answer.usage.completion_tokens_details is not None
    assert answer.usage.completion_tokens_details.reasoning_tokens == 16
    assert answer.usage.completion_tokens == 21
    stream = await openai_client.chat.completions.create(
        model="sim-reasoning@tokens=5", messages=HELLO, stream=True
    )
    deltas = [chunk.choices[0].delta async for chunk in stream]
    reasoning = "".join((delta.model_extra or {}).get("reasoning_content", "") for delta in deltas)
    assert reasoning == (answer.choices[0].message.model_extra or {})["reasoning_content"]
    assert len(reasoning.split()) == 16


async def test_reasoning_effort_sets_how_much_is_reasoned_and_hidden_reasoning_is_still_counted(
    openai_client: AsyncOpenAI,
) -> None:
    answer = await openai_client.chat.completions.create(
        model="sim-small@tokens=5,hide-reasoning",
        messages=HELLO,
        reasoning_effort="high",
    )
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 37
    assert "reasoning_content" not in (answer.choices[0].message.model_extra or {})


async def test_a_parsed_answer_satisfies_its_schema_streamed_or_not(openai_client: AsyncOpenAI) -> None:
    parsed = await openai_client.chat.completions.parse(
        model="sim-small", messages=HELLO, response_format=City
    )
    city = parsed.choices[0].message.parsed
    assert city is not None
    assert city.name
    assert city.districts
    async with openai_client.chat.completions.stream(
        model="sim-small", messages=HELLO, response_format=City
    ) as stream:
        final = await stream.get_final_completion()
    assert final.choices[0].message.parsed == city


async def test_images_by_address_and_in_line_count_for_85_tokens_each(openai_client: AsyncOpenAI) -> None:
    answer = await openai_client.chat.completions.create(
        model="sim-small",
        messages=[
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "Compare these."},
                    {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}},
                    {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIXEL}"}},
                ],
            },
        ],
    )
    assert answer.usage is not None
    assert answer.usage.prompt_tokens == 2 + 2 * 85


async def test_log_probabilities_come_one_per_token(openai_client: AsyncOpenAI) -> None:
    whole = await openai_client.chat.completions.create(
        model="sim-small@tokens=4", messages=HELLO, logprobs=True
    )
    logprobs = whole.choices[0].logprobs
    assert logprobs is not None
    assert logprobs.content is not None
    assert "".join(each.token for each in logprobs.content) == whole.choices[0].message.content
    stream = await openai_client.chat.completions.create(
        model="sim-small@tokens=4",
        messages=HELLO,
        logprobs=True,
        stream=True,
    )
    streamed = [
        choice.logprobs for chunk in [c async for c in stream] for choice in chunk.choices if choice.logprobs
    ]
    assert [each.content[0].logprob for each in streamed if each.content] == [
        each.logprob for each in logprobs.content
    ]
