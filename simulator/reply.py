"""What an API hands over for delivery: token counts, and the bytes of the answer, whole or as events."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

from simulator.behaviour import Behaviour
from simulator.frame import Frame
from simulator.prompt_cache import PromptCache
from simulator.shapes import Shape, shape_body, shape_frames


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

    def shaped(self, shape: Shape) -> "Reply":
        frames, ending = self.frames, self.ending
        return replace(
            self,
            body=lambda: shape_body(self.body(), shape),
            frames=None if frames is None else lambda: shape_frames(frames(), shape, are_last=False),
            ending=lambda: shape_frames(ending(), shape, are_last=True),
        )
