"""What both APIs answer, streamed and whole, through the same port."""

import json

import jsonschema

from headgate.chat.v1 import message_pb2, options_pb2, tool_pb2
from headgate.common.v1 import usage_pb2
from services.router.targets.provider import Provider
from tests.service.router.providers.asking import Control, Part, answer, ask, request, user
from tests.service.router.providers.conftest import Build

WEATHER = tool_pb2.Tool(
    name="weather",
    description="Today's weather",
    parameters_json='{"type":"object","properties":{"city":{"type":"string"}},"required":["city"]}',
)
RED_DOT = (
    b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\x00\x01\x00\x00\x00\x01\x08\x02\x00\x00\x00\x90wS\xde"
    b"\x00\x00\x00\x0cIDATx\x9cc\xf8\xcf\xc0\x00\x00\x03\x01\x01\x00\xc9\xfe\x92\xef\x00\x00\x00\x00IEND\xaeB`\x82"
)


async def test_text_comes_with_its_end_and_the_providers_count(provider: Provider, streamed: bool) -> None:
    got = await answer(ask(provider, streamed=streamed))
    assert got.failure is None
    assert len(got.text().split()) == 6
    (reason, raw) = got.finishes[0]
    assert reason == "FINISH_REASON_STOP"
    assert raw in {"stop", "end_turn"}
    expected = usage_pb2.TokenUsage(
        input_tokens=2, output_tokens=6, total_tokens=8, source=usage_pb2.USAGE_SOURCE_PROVIDER
    )
    assert got.usage == expected


async def test_what_arrives_together_leaves_together(provider: Provider) -> None:
    got = await answer(ask(provider, model="sim-small@tokens=200", max_output_tokens=500))
    assert len(got.text().split()) == 200
    assert got.pieces == 200
    assert len(got.deltas) < 20


async def test_text_arrives_while_the_rest_is_still_being_produced(
    provider: Provider, control: Control
) -> None:
    stream = ask(provider, model="sim-small@tokens=100,gap=100ms", request_id="paced")
    words = 0
    async for chunk in stream:
        words += chunk.output_pieces
        if words:
            break
    assert (await control.served("paced"))["outcome"] == "running"
    await stream.aclose()


async def test_the_output_limit_cuts_the_answer_and_is_told(provider: Provider, streamed: bool) -> None:
    got = await answer(ask(provider, model="sim-small@tokens=50", streamed=streamed, max_output_tokens=3))
    assert got.finishes[0][0] == "FINISH_REASON_LENGTH"
    assert got.usage is not None
    assert got.usage.output_tokens == 3


async def test_tool_calls_come_with_id_name_and_arguments(provider: Provider, streamed: bool) -> None:
    clock = tool_pb2.Tool(name="clock")
    asked = request(user("call:weather and call:clock"), tools=[WEATHER, clock])
    got = await answer(ask(provider, asked, streamed=streamed))
    assert got.failure is None
    assert [name for _, name, _ in got.calls.values()] == ["weather", "clock"]
    assert len({id_ for id_, _, _ in got.calls.values()}) == 2
    jsonschema.validate(json.loads(got.calls[0][2]), json.loads(WEATHER.parameters_json))
    assert json.loads(got.calls[1][2] or "{}") == {}
    assert got.finishes[0][0] == "FINISH_REASON_TOOL_CALLS"


async def test_a_tools_result_goes_back_with_its_call(provider: Provider, streamed: bool) -> None:
    asking = request(user("call:weather"), tools=[WEATHER])
    (id_, name, arguments) = (await answer(ask(provider, asking, streamed=streamed))).calls[0]
    call = message_pb2.ToolCall(id=id_, name=name, arguments_json=arguments)
    result = message_pb2.ToolResult(tool_call_id=id_, text="rain", is_error=True)
    following = request(
        *asking.messages,
        message_pb2.Message(role=message_pb2.ROLE_ASSISTANT, parts=[Part(text="Hm."), Part(tool_call=call)]),
        message_pb2.Message(role=message_pb2.ROLE_TOOL, parts=[Part(tool_result=result)]),
        tools=[WEATHER],
    )
    assert not provider.unsupported(following)
    got = await answer(ask(provider, following, streamed=streamed))
    assert got.failure is None
    assert got.finishes[0][0] == "FINISH_REASON_STOP"


async def test_several_results_and_a_question_become_turns_that_the_api_takes(provider: Provider) -> None:
    calls = [message_pb2.ToolCall(id=f"call_{n}", name="weather", arguments_json="{}") for n in range(2)]
    results = [message_pb2.ToolResult(tool_call_id=call.id, text="rain") for call in calls]
    asked = request(
        message_pb2.Message(role=message_pb2.ROLE_SYSTEM, parts=[Part(text="Be brief.")]),
        user("weather?"),
        message_pb2.Message(role=message_pb2.ROLE_ASSISTANT, parts=[Part(tool_call=c) for c in calls]),
        *(
            message_pb2.Message(role=message_pb2.ROLE_TOOL, parts=[Part(tool_result=result)])
            for result in results
        ),
        user("and tomorrow?"),
        tools=[WEATHER],
    )
    assert not provider.unsupported(asked)
    assert (await answer(ask(provider, asked))).failure is None


async def test_reasoning_is_told_apart_from_the_text(provider: Provider, streamed: bool) -> None:
    asked = request(reasoning=options_pb2.ReasoningOptions(effort="low"))
    got = await answer(ask(provider, asked, model="sim-small@tokens=4,reasoning=5", streamed=streamed))
    assert got.failure is None
    assert len(got.reasoning.split()) == 5
    assert len(got.text().split()) == 4
    assert got.usage is not None
    assert got.usage.output_tokens == 9


async def test_openai_tells_how_much_of_the_output_was_reasoning_and_of_the_input_cached(
    openai: Provider, streamed: bool
) -> None:
    got = await answer(ask(openai, model="sim-reasoning@tokens=4,reasoning=5,cached=1", streamed=streamed))
    assert got.usage is not None
    assert got.usage.reasoning_output_tokens == 5
    assert got.usage.cache_read_input_tokens == 1
    assert got.usage.input_tokens == 2


async def test_anthropics_input_includes_what_the_prompt_cache_read(
    anthropic: Provider, streamed: bool
) -> None:
    got = await answer(ask(anthropic, model="sim-small@cached=1", streamed=streamed))
    assert got.usage is not None
    assert got.usage.cache_read_input_tokens == 1
    assert got.usage.input_tokens == 2


async def test_signed_reasoning_goes_back_to_anthropic(anthropic: Provider, streamed: bool) -> None:
    got = await answer(ask(anthropic, model="sim-reasoning@tokens=3,reasoning=4", streamed=streamed))
    signature = "".join(delta.reasoning.signature for delta in got.deltas)
    assert signature
    thought = message_pb2.Reasoning(text=got.reasoning, signature=signature)
    turn = message_pb2.Message(
        role=message_pb2.ROLE_ASSISTANT, parts=[Part(reasoning=thought), Part(text=got.text())]
    )
    following = request(user("hello there"), turn, user("go on"))
    assert not anthropic.unsupported(following)
    assert (await answer(ask(anthropic, following))).failure is None


async def test_reasoning_goes_back_to_servers_that_show_it(openai: Provider) -> None:
    thought = message_pb2.Reasoning(text="let me see")
    turn = message_pb2.Message(
        role=message_pb2.ROLE_ASSISTANT, parts=[Part(reasoning=thought), Part(text="42")]
    )
    following = request(user("hello there"), turn, user("go on"))
    assert not openai.unsupported(following)
    assert (await answer(ask(openai, following))).failure is None


async def test_images_are_seen_by_value_and_by_address(provider: Provider, streamed: bool) -> None:
    blob = Part(blob=message_pb2.Blob(media_type="image/png", data=RED_DOT))
    uri = Part(uri=message_pb2.Uri(uri="https://images.example/dot.png"))
    asked = request(user("what is this?", blob, uri))
    assert not provider.unsupported(asked)
    got = await answer(ask(provider, asked, streamed=streamed))
    assert got.failure is None
    assert got.usage is not None
    assert got.usage.input_tokens > 2 * 85


async def test_an_answer_fits_the_schema(provider: Provider, streamed: bool) -> None:
    schema = {
        "type": "object",
        "properties": {"n": {"type": "integer"}, "s": {"type": "string"}},
        "required": ["n", "s"],
        "additionalProperties": False,
    }
    wanted = options_pb2.JsonSchemaFormat(name="pair", schema_json=json.dumps(schema), description="a pair")
    asked = request(response_format=options_pb2.ResponseFormat(json_schema=wanted))
    assert not provider.unsupported(asked)
    got = await answer(ask(provider, asked, model="sim-small", streamed=streamed))
    assert got.failure is None
    jsonschema.validate(json.loads(got.text()), schema)


async def test_openai_gives_several_answers(openai: Provider, streamed: bool) -> None:
    got = await answer(ask(openai, request(choice_count=3), streamed=streamed))
    assert sorted(got.finishes) == [0, 1, 2]
    assert len({got.text(choice) for choice in range(3)}) == 3
    assert got.usage is not None
    assert got.usage.output_tokens == 18


async def test_openai_gives_log_probabilities_of_each_token(openai: Provider, streamed: bool) -> None:
    got = await answer(ask(openai, request(top_logprobs=2), streamed=streamed))
    told = [logprob for delta in got.deltas for logprob in delta.logprobs]
    assert "".join(logprob.token for logprob in told) == got.text()
    assert all(logprob.logprob <= 0 for logprob in told)


async def test_continuous_usage_counts_a_stream_that_is_left_early(built: Build, simulator_url: str) -> None:
    provider = built("openai", simulator_url, continuous_usage=True)
    stream = ask(provider, model="sim-small@tokens=100,gap=5ms")
    counts = []
    async for chunk in stream:
        assert chunk.usage is not None
        assert chunk.usage.input_tokens == 2
        assert chunk.usage.source == usage_pb2.USAGE_SOURCE_PROVIDER
        counts.append((chunk.usage.output_tokens, chunk.output_pieces))
        if len(counts) == 4:
            break
    await stream.aclose()
    assert counts[-1][0] == sum(pieces for _, pieces in counts)


async def test_anthropic_tells_the_input_before_the_first_token(anthropic: Provider) -> None:
    stream = ask(anthropic, model="sim-small@tokens=100,gap=20ms")
    first = await anext(stream)
    await stream.aclose()
    assert first.usage is not None
    assert first.usage.input_tokens == 2
    assert first.usage.source == usage_pb2.USAGE_SOURCE_ESTIMATED


async def test_anthropic_counts_tokens_and_openai_has_no_way_to(
    anthropic: Provider, openai: Provider
) -> None:
    assert await anthropic.count_tokens("sim-small", request(user("one two three"))) == 3
    assert await openai.count_tokens("sim-small", request(user("one two three"))) is None


async def test_the_request_id_reaches_the_provider(
    provider: Provider, control: Control, streamed: bool
) -> None:
    await answer(ask(provider, streamed=streamed, request_id="req-7"))
    record = await control.served("req-7")
    assert record["outcome"] == "complete"
    assert record["streamed"] is streamed
