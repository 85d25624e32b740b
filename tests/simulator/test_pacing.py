"""When each event of a stream is due, and which are written together."""

from hypothesis import given
from hypothesis import strategies as st

from simulator.pacing import Pacer, frames_until, opening_frames

START, A, B, C, END = (b"start ", 0), (b"a ", 1), (b"b ", 1), (b"c ", 1), (b"end", 0)


def test_without_a_gap_all_events_are_one_write() -> None:
    pacer = Pacer([START, A, B, C, END], gap_seconds=0)
    batch = pacer.take(0)
    assert (batch.data, batch.tokens, batch.last) == (b"start a b c end", 3, True)


def test_with_a_gap_each_token_waits_for_its_time_and_others_go_with_the_token_before() -> None:
    pacer = Pacer([START, A, B, C, END], gap_seconds=1)
    assert pacer.due_seconds() == 0
    assert pacer.take(0).data == b"start a "
    assert pacer.due_seconds() == 1
    assert pacer.take(1).data == b"b "
    assert pacer.due_seconds() == 2
    assert pacer.take(2).data == b"c end"
    assert pacer.done


def test_tokens_that_are_late_are_caught_up_in_one_write() -> None:
    pacer = Pacer([START, A, B, C, END], gap_seconds=1)
    assert pacer.take(1.5).data == b"start a b "


@given(st.lists(st.sampled_from([START, A, END]), min_size=1, max_size=700), st.sampled_from([0, 0.5]))
def test_every_event_is_written_once_and_in_order(frames: list[tuple[bytes, int]], gap: float) -> None:
    pacer = Pacer(frames, gap)
    batches = []
    while not pacer.done:
        batches.append(pacer.take(pacer.due_seconds()))
    assert b"".join(batch.data for batch in batches) == b"".join(data for data, _ in frames)
    assert sum(batch.tokens for batch in batches) == sum(tokens for _, tokens in frames)
    assert [batch.last for batch in batches] == [False] * (len(batches) - 1) + [True]


def test_frames_until_a_token_end_with_that_token() -> None:
    frames = [START, A, B, C, END]
    assert list(frames_until(frames, 0)) == []
    assert list(frames_until(frames, 2)) == [START, A, B]
    assert list(frames_until(frames, 3)) == [START, A, B, C]


def test_opening_frames_end_before_the_first_token() -> None:
    assert list(opening_frames([START, A, B])) == [START]
