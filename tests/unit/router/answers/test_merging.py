"""Neighbouring text in fewer events."""

from hypothesis import given
from hypothesis import strategies as st

from headgate.router.v1 import completion_pb2
from services.router.answers.merging import merged

_LOGPROBS = [completion_pb2.TokenLogprob(token="a", logprob=-1.0)]


def text(said: str, choice: int = 0, *, probable: bool = False) -> completion_pb2.CompletionEvent:
    logprobs = _LOGPROBS if probable else None
    delta = completion_pb2.Delta(choice_index=choice, text=said, logprobs=logprobs)
    return completion_pb2.CompletionEvent(delta=delta)


def end(choice: int = 0) -> completion_pb2.CompletionEvent:
    return completion_pb2.CompletionEvent(choice_finished=completion_pb2.ChoiceFinished(choice_index=choice))


def reasoning(said: str) -> completion_pb2.CompletionEvent:
    event = completion_pb2.CompletionEvent()
    event.delta.reasoning.text = said
    return event


EVENTS = st.lists(
    st.one_of(
        st.builds(text, st.text(max_size=4), st.integers(0, 1), probable=st.booleans()),
        st.builds(reasoning, st.text(max_size=4)),
        st.builds(end, st.integers(0, 1)),
    ),
    max_size=12,
)


def test_texts_that_follow_each_other_become_one() -> None:
    assert merged([text("a"), text("b"), text("c"), end()]) == [text("abc"), end()]


def test_what_is_said_of_one_choice_is_not_merged_into_anothers() -> None:
    events = [text("a"), text("b", 1), text("c")]
    assert merged(events) == events


def test_a_text_with_log_probabilities_stays_by_itself() -> None:
    events = [text("a"), text("b", probable=True), text("c")]
    assert merged(events) == events


def test_texts_grow_to_the_limit_and_no_further() -> None:
    assert merged([text("ab"), text("cd"), text("ef")], largest_text=3) == [text("abcd"), text("ef")]


@given(EVENTS)
def test_nothing_is_lost_reordered_or_changed(events: list[completion_pb2.CompletionEvent]) -> None:
    copies = [completion_pb2.CompletionEvent.FromString(event.SerializeToString()) for event in events]
    result = merged(events)
    assert events == copies
    assert _spelled(result) == _spelled(events)
    assert len(merged(result)) == len(result)


def _spelled(events: list[completion_pb2.CompletionEvent]) -> list[object]:
    """Every letter of plain text by itself, with its choice, and every other event as it is."""
    spelled: list[object] = []
    for event in events:
        plain = event.delta.WhichOneof("content") == "text" and not event.delta.logprobs
        spelled += [(event.delta.choice_index, each) for each in event.delta.text] if plain else [event]
    return spelled
