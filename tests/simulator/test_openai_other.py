"""The OpenAI SDK reads the simulator's completions, embeddings and models."""

import math

from openai import AsyncOpenAI


async def test_a_list_of_prompts_gets_an_answer_each_in_order(openai_client: AsyncOpenAI) -> None:
    both = await openai_client.completions.create(model="sim-small", prompt=["one", "two"], max_tokens=5)
    first = await openai_client.completions.create(model="sim-small", prompt="one", max_tokens=5)
    second = await openai_client.completions.create(model="sim-small", prompt="two", max_tokens=5)
    assert [choice.index for choice in both.choices] == [0, 1]
    assert [choice.text for choice in both.choices] == [first.choices[0].text, second.choices[0].text]
    assert both.usage is not None
    assert (both.usage.prompt_tokens, both.usage.completion_tokens) == (2, 10)
    assert both.choices[0].finish_reason == "length"


async def test_completions_stream_the_text_that_they_answer_whole(openai_client: AsyncOpenAI) -> None:
    whole = await openai_client.completions.create(model="sim-small", prompt=["one", "two"], echo=True)
    stream = await openai_client.completions.create(
        model="sim-small",
        prompt=["one", "two"],
        echo=True,
        stream=True,
        stream_options={"include_usage": True},
    )
    chunks = [chunk async for chunk in stream]
    texts = ["", ""]
    for choice in (choice for chunk in chunks for choice in chunk.choices):
        texts[choice.index] += choice.text
    assert texts == [choice.text for choice in whole.choices]
    assert texts[0].startswith("one")
    assert chunks[-1].usage == whole.usage


async def test_a_prompt_may_be_tokens(openai_client: AsyncOpenAI) -> None:
    answer = await openai_client.completions.create(model="sim-small", prompt=[[1, 2, 3], [4]])
    assert answer.usage is not None
    assert answer.usage.prompt_tokens == 4
    assert len(answer.choices) == 2


async def test_embeddings_are_the_same_in_base64_and_as_numbers(openai_client: AsyncOpenAI) -> None:
    # The SDK asks for base64 when nothing else is asked for.
    packed = await openai_client.embeddings.create(model="sim-embedding", input=["a river", "a lake"])
    plain = await openai_client.embeddings.create(
        model="sim-embedding",
        input=["a river", "a lake"],
        encoding_format="float",
    )
    assert [item.embedding for item in packed.data] == [item.embedding for item in plain.data]
    assert packed.data[0].embedding != packed.data[1].embedding
    assert packed.usage.prompt_tokens == packed.usage.total_tokens == 4


async def test_an_embedding_has_length_one_and_the_dimensions_asked_for(openai_client: AsyncOpenAI) -> None:
    answer = await openai_client.embeddings.create(model="sim-embedding", input="a river", dimensions=64)
    vector = answer.data[0].embedding
    assert len(vector) == 64
    assert math.isclose(sum(value * value for value in vector), 1, rel_tol=1e-5)


async def test_texts_that_share_words_have_embeddings_that_lie_closer(openai_client: AsyncOpenAI) -> None:
    texts = ["the river runs north", "the river runs south", "copper kettle lantern"]
    answer = await openai_client.embeddings.create(model="sim-embedding", input=texts)
    near, same, far = (item.embedding for item in answer.data)
    assert sum(map(float.__mul__, near, same)) > 0.5 > sum(map(float.__mul__, near, far))


async def test_models_are_listed_and_described(openai_client: AsyncOpenAI) -> None:
    listed = [model.id async for model in openai_client.models.list()]
    assert "sim-small" in listed
    assert "sim-reasoning" in listed
    assert (await openai_client.models.retrieve("sim-small")).owned_by == "simulator"
