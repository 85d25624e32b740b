"""A unary answer is what the stream tells."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from headgate.chat.v1 import finish_reason_pb2, message_pb2
from headgate.common.v1 import cache_status_pb2, outcome_pb2
from headgate.router.v1 import completion_pb2
from services.router.answers.collect import collect

Event, Delta = completion_pb2.CompletionEvent, completion_pb2.Delta


def started() -> completion_pb2.CompletionEvent:
    return Event(
        started=completion_pb2.Started(
            completion_id="c1",
            requested_model="m",
            served_model="sim-a",
            provider="sim",
            cache_status=cache_status_pb2.CACHE_STATUS_MISS,
        )
    )


def delta(choice: int = 0, **content: Any) -> completion_pb2.CompletionEvent:
    return Event(delta=Delta(choice_index=choice, **content))


def call(index: int, fragment: str, **first: str) -> completion_pb2.CompletionEvent:
    return delta(tool_call=completion_pb2.ToolCallDelta(index=index, arguments_fragment=fragment, **first))


def reasoning(text: str = "", **more: str) -> completion_pb2.CompletionEvent:
    return delta(reasoning=message_pb2.Reasoning(text=text, **more))


def parts(*events: completion_pb2.CompletionEvent) -> list[message_pb2.Part]:
    return list(collect([started(), *events]).choices[0].message.parts)


def test_what_was_started_and_finished_is_told() -> None:
    finished = completion_pb2.Finished(outcome=outcome_pb2.OUTCOME_COMPLETE)
    completion = collect([started(), delta(text="hi"), Event(finished=finished)])
    assert (completion.completion_id, completion.requested_model) == ("c1", "m")
    assert (completion.served_model, completion.provider) == ("sim-a", "sim")
    assert completion.cache_status == cache_status_pb2.CACHE_STATUS_MISS
    assert completion.finished == finished


def test_the_reason_of_each_choice_is_told() -> None:
    end = completion_pb2.ChoiceFinished(
        choice_index=1, finish_reason=finish_reason_pb2.FINISH_REASON_LENGTH, raw_reason="length"
    )
    completion = collect([started(), delta(0, text="a"), delta(1, text="b"), Event(choice_finished=end)])
    assert [choice.raw_reason for choice in completion.choices] == ["", "length"]
    assert completion.choices[1].finish_reason == finish_reason_pb2.FINISH_REASON_LENGTH


def test_a_refusal_is_what_the_model_said() -> None:
    assert parts(delta(refusal="I will "), delta(refusal="not")) == [message_pb2.Part(text="I will not")]


def test_fragments_of_calls_become_whole_calls() -> None:
    told = parts(
        call(0, '{"a"', id="c1", name="f"), call(1, "{}", id="c2", name="g"), call(0, ":1}"), delta(text="ok")
    )
    assert told == [
        message_pb2.Part(text="ok"),
        message_pb2.Part(tool_call=message_pb2.ToolCall(id="c1", name="f", arguments_json='{"a":1}')),
        message_pb2.Part(tool_call=message_pb2.ToolCall(id="c2", name="g", arguments_json="{}")),
    ]


def test_a_signature_ends_a_block_of_reasoning() -> None:
    told = parts(reasoning("a"), reasoning("b"), reasoning(signature="s1"), reasoning("c"), delta(text="x"))
    assert told == [
        message_pb2.Part(reasoning=message_pb2.Reasoning(text="ab", signature="s1")),
        message_pb2.Part(reasoning=message_pb2.Reasoning(text="c")),
        message_pb2.Part(text="x"),
    ]


def test_redacted_reasoning_is_a_block_of_its_own() -> None:
    told = parts(reasoning("a"), reasoning(redacted_data="zzz"))
    assert told == [
        message_pb2.Part(reasoning=message_pb2.Reasoning(text="a")),
        message_pb2.Part(reasoning=message_pb2.Reasoning(redacted_data="zzz")),
    ]


def test_what_came_before_a_failover_that_restarts_is_void() -> None:
    over = Event(failed_over=completion_pb2.FailedOver(content_restarts=True))
    assert parts(delta(text="half"), over, delta(text="whole")) == [message_pb2.Part(text="whole")]


def test_logprobs_are_one_list() -> None:
    one, two = completion_pb2.TokenLogprob(token="a"), completion_pb2.TokenLogprob(token="b")
    completion = collect([started(), delta(text="a", logprobs=[one]), delta(text="b", logprobs=[two])])
    assert list(completion.choices[0].logprobs) == [one, two]


@given(st.lists(st.tuples(st.integers(0, 3), st.text(min_size=1, max_size=10)), max_size=40))
def test_the_text_of_each_choice_is_all_that_was_streamed_of_it(pieces: list[tuple[int, str]]) -> None:
    completion = collect([started(), *(delta(choice, text=text) for choice, text in pieces)])
    streamed = {choice: "".join(t for c, t in pieces if c == choice) for choice, _ in pieces}
    assert [choice.index for choice in completion.choices] == sorted(streamed)
    for choice in completion.choices:
        assert [part.text for part in choice.message.parts] == [streamed[choice.index]]
        assert choice.message.role == message_pb2.ROLE_ASSISTANT
