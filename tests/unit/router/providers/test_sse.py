"""Server-sent events: however the bytes are split, the events are the same."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.router.providers.sse import EventTooLargeError, SseParser

LINES = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\n"), max_size=12).map(
        lambda text: f"data: {text}"
    ),
    st.sampled_from(
        ["", "", "data:x", "data", "data:  two", ": ping", "event: e", "id: 7", "retry: 1", "datax: no"]
    ),
)
STREAMS = st.lists(st.tuples(LINES, st.sampled_from(["\n", "\r\n", "\r"])), max_size=30).map(
    lambda lines: "".join(line + end for line, end in lines).encode()
)


def reference(stream: bytes) -> list[bytes]:
    """The specification's algorithm, line by line over the whole stream."""
    events, data = [], list[bytes]()
    lines = stream.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
    for line in lines[:-1]:
        name, _, value = line.partition(b":")
        if not line:
            events += [b"\n".join(data)] if data else []
            data = []
        elif name == b"data":
            data.append(value.removeprefix(b" "))
    return events


@given(stream=STREAMS, cuts=st.lists(st.integers(0, 400), max_size=12))
def test_any_split_of_the_bytes_gives_the_same_events(stream: bytes, cuts: list[int]) -> None:
    edges = sorted({0, len(stream), *(cut for cut in cuts if cut < len(stream))})
    parser = SseParser()
    reads = [stream[start:end] for start, end in pairwise(edges)]
    assert [event for read in reads for event in parser.feed(read)] == reference(stream)


@given(stream=STREAMS)
def test_byte_by_byte_gives_the_same_events(stream: bytes) -> None:
    parser = SseParser()
    assert [event for byte in stream for event in parser.feed(bytes([byte]))] == reference(stream)


def test_all_events_of_a_read_come_at_once() -> None:
    assert SseParser().feed(b"data: 1\n\ndata: 2\n\ndata: 3") == [b"1", b"2"]


def test_lines_of_one_event_are_joined() -> None:
    assert SseParser().feed(b"data: one\ndata: two\n\n") == [b"one\ntwo"]


def test_a_character_may_be_split_over_reads() -> None:
    word = "data: grüße\n\n".encode()
    parser = SseParser()
    assert parser.feed(word[:9]) == []
    assert parser.feed(word[9:]) == ["grüße".encode()]


def test_a_byte_order_mark_is_no_part_of_the_first_line() -> None:
    assert SseParser().feed(b"\xef\xbb\xbfdata: x\n\n") == [b"x"]


def test_an_event_that_was_not_ended_is_none() -> None:
    assert SseParser().feed(b"data: x\n") == []


@pytest.mark.parametrize("piece", [b"x" * 10, b"data: xxxx\n"])
def test_an_event_beyond_the_cap_is_refused(piece: bytes) -> None:
    parser = SseParser(largest_event_bytes=100)
    for _ in range(100 // len(piece)):
        parser.feed(piece)
    with pytest.raises(EventTooLargeError, match="100 bytes"):
        parser.feed(piece * 20)


def test_the_cap_is_for_one_event_and_not_for_the_stream() -> None:
    parser = SseParser(largest_event_bytes=100)
    for _ in range(100):
        assert parser.feed(b"data: " + b"x" * 80) == []
        assert parser.feed(b"\n\n") == [b"x" * 80]
