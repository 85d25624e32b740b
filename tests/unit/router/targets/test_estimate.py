"""How large a request is taken to be before a provider has counted."""

from hypothesis import given
from hypothesis import strategies as st

from headgate.chat.v1 import message_pb2, tool_pb2
from headgate.router.v1 import completion_pb2
from services.router.targets.estimate import TOKENS_PER_IMAGE, TOKENS_PER_MESSAGE, measure, unsized_parts


def estimate(*parts: message_pb2.Part, tools: tuple[tool_pb2.Tool, ...] = ()) -> int:
    message = message_pb2.Message(role=message_pb2.ROLE_USER, parts=parts)
    return measure(completion_pb2.CompletionRequest(messages=[message], tools=tools)).about()


def text(said: str) -> message_pb2.Part:
    return message_pb2.Part(text=said)


def test_four_bytes_are_a_token() -> None:
    assert estimate(text("a" * 40)) == 10 + TOKENS_PER_MESSAGE
    assert estimate(text("a" * 41)) == 11 + TOKENS_PER_MESSAGE


def test_bytes_count_and_not_characters() -> None:
    assert estimate(text("ж" * 20)) == estimate(text("a" * 40))


def test_nothing_is_at_least_one_token() -> None:
    assert measure(completion_pb2.CompletionRequest()).about() == 1


def test_an_image_counts_whether_by_value_or_by_address() -> None:
    by_value = message_pb2.Part(blob=message_pb2.Blob(media_type="image/png", data=b"x" * 100_000))
    by_address = message_pb2.Part(uri=message_pb2.Uri(uri="https://x"))
    assert estimate(by_value) == estimate(by_address) == TOKENS_PER_IMAGE + TOKENS_PER_MESSAGE


def test_calls_results_reasoning_and_tools_count() -> None:
    call = message_pb2.Part(tool_call=message_pb2.ToolCall(id="1", name="abcd", arguments_json="x" * 36))
    result = message_pb2.Part(tool_result=message_pb2.ToolResult(tool_call_id="1", text="x" * 40))
    reasoning = message_pb2.Part(reasoning=message_pb2.Reasoning(text="x" * 40))
    assert {estimate(part) for part in (call, result, reasoning)} == {10 + TOKENS_PER_MESSAGE}
    tool = tool_pb2.Tool(name="abcd", description="x" * 16, parameters_json="x" * 20)
    assert estimate(text(""), tools=(tool,)) == 10 + 8 + TOKENS_PER_MESSAGE


def test_a_tool_may_be_written_out_with_twice_its_bytes() -> None:
    tool = tool_pb2.Tool(name="abcd", description="x" * 16, parameters_json="x" * 20)
    bare = measure(completion_pb2.CompletionRequest(tools=[tool_pb2.Tool(name="a")]))
    sized = measure(completion_pb2.CompletionRequest(tools=[tool]))
    assert (sized.most(1, None) or 0) - (bare.most(1, None) or 0) == 2 * (40 - 1)


def test_what_options_may_add_to_the_prompt_counts() -> None:
    request = completion_pb2.CompletionRequest()
    request.provider_options.update({"documents": [{"text": "x" * 400}]})
    assert 100 <= measure(request).about() < 120


@given(st.lists(st.text(max_size=50), max_size=8), st.text(max_size=50))
def test_more_to_say_is_never_fewer_tokens(said: list[str], more: str) -> None:
    parts = [text(each) for each in said]
    assert estimate(*parts) <= estimate(*parts, text(more))


def most(*parts: message_pb2.Part, window: int | None = None) -> int | None:
    message = message_pb2.Message(role=message_pb2.ROLE_USER, parts=parts)
    return measure(completion_pb2.CompletionRequest(messages=[message])).most(1000, window)


@given(st.lists(st.text(max_size=50), max_size=8))
def test_no_text_can_have_more_tokens_than_bytes(said: list[str]) -> None:
    size = sum(len(each.encode()) for each in said)
    known = most(*map(text, said))
    assert known is not None
    assert size < known < size + 200
    assert known >= estimate(*map(text, said))


def test_an_image_counts_at_most_as_declared_and_nothing_more_than_the_window() -> None:
    image = message_pb2.Part(blob=message_pb2.Blob(media_type="image/png", data=b"x" * 100_000))
    assert 2000 < (most(image, image) or 0) < 2100
    assert most(image, image, window=1500) == 1500


def test_only_the_window_bounds_a_document() -> None:
    document = message_pb2.Part(blob=message_pb2.Blob(media_type="application/pdf", data=b"x"))
    sound = message_pb2.Part(uri=message_pb2.Uri(uri="https://a.example/b", media_type="audio/wav"))
    assert most(document) is most(text("x"), sound) is None
    assert most(document, window=200_000) == 200_000
    request = completion_pb2.CompletionRequest()
    request.messages.add(parts=[text("x"), document, sound])
    assert list(unsized_parts(request)) == ["messages[0].parts[1].blob", "messages[0].parts[2].uri"]


def test_plain_text_by_value_is_text() -> None:
    plain = message_pb2.Part(blob=message_pb2.Blob(media_type="text/plain", data=b"x" * 400))
    assert 400 <= (most(plain) or 0) < 600
