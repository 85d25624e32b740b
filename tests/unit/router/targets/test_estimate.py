"""How large a request is taken to be before a provider has counted."""

from hypothesis import given
from hypothesis import strategies as st

from headgate.chat.v1 import message_pb2, tool_pb2
from headgate.router.v1 import completion_pb2
from services.router.targets.estimate import TOKENS_PER_IMAGE, TOKENS_PER_MESSAGE, estimate_input_tokens


def estimate(*parts: message_pb2.Part, tools: tuple[tool_pb2.Tool, ...] = ()) -> int:
    message = message_pb2.Message(role=message_pb2.ROLE_USER, parts=parts)
    return estimate_input_tokens(completion_pb2.CompletionRequest(messages=[message], tools=tools))


def text(said: str) -> message_pb2.Part:
    return message_pb2.Part(text=said)


def test_four_bytes_are_a_token() -> None:
    assert estimate(text("a" * 40)) == 10 + TOKENS_PER_MESSAGE
    assert estimate(text("a" * 41)) == 11 + TOKENS_PER_MESSAGE


def test_bytes_count_and_not_characters() -> None:
    assert estimate(text("ж" * 20)) == estimate(text("a" * 40))


def test_nothing_is_at_least_one_token() -> None:
    assert estimate_input_tokens(completion_pb2.CompletionRequest()) == 1


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


def test_what_options_may_add_to_the_prompt_counts() -> None:
    request = completion_pb2.CompletionRequest()
    request.provider_options.update({"documents": [{"text": "x" * 400}]})
    assert 100 <= estimate_input_tokens(request) < 120


@given(st.lists(st.text(max_size=50), max_size=8), st.text(max_size=50))
def test_more_to_say_is_never_fewer_tokens(said: list[str], more: str) -> None:
    parts = [text(each) for each in said]
    assert estimate(*parts) <= estimate(*parts, text(more))
