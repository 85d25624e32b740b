"""What an API hands over for delivery: token counts, and the bytes of the answer, whole or as events."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, zip_longest

from simulator.behaviour import Behaviour
from simulator.prompt_cache import PromptCache

Frame = tuple[bytes, int]
"""One event and how many tokens it carries, 0 or 1. A token of hidden reasoning has no bytes."""


@dataclass(frozen=True, slots=True)
class Context:
    """What an API needs besides the request itself."""

    id: str
    model: str
    """As the client wrote it."""
    created: int
    behaviour: Behaviour
    prompt_cache: PromptCache


@dataclass(frozen=True, slots=True)
class Reply:
    input_tokens: int
    body: Callable[[], bytes]
    frames: Callable[[], Iterator[Frame]] | None = None
    """Made as they are needed, as thousands of long streams may be open. None: the answer is not streamed."""
    ending: Callable[[], Iterable[Frame]] = tuple
    """The events that tell the usage and end the stream, after `frames`."""
    cached_tokens: int = 0
    cache_written_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0


def interleave(streams: Sequence[Iterable[Frame]]) -> Iterator[Frame]:
    """Several choices as one stream, an event of each in turn."""
    if len(streams) == 1:
        return iter(streams[0])
    return (frame for frame in chain.from_iterable(zip_longest(*streams)) if frame is not None)
