"""Streams of events, with the tokens that each carries."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, zip_longest

Frame = tuple[bytes, int]
"""One event and how many tokens it carries, 0 or 1. A token of hidden reasoning has no bytes."""


def interleave(streams: Sequence[Iterable[Frame]]) -> Iterator[Frame]:
    """Several choices as one stream, an event of each in turn."""
    if len(streams) == 1:
        return iter(streams[0])
    return (frame for frame in chain.from_iterable(zip_longest(*streams)) if frame is not None)
