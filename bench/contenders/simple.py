"""The two that frame the others: the upstream asked directly, and a bare grpc.aio server."""

from collections.abc import Iterator
from contextlib import contextmanager

from bench.contenders.contender import Contender, Place, Running
from bench.generator.window import Target
from bench.processes import serving

_NO_CACHE = "has no cache"


@contextmanager
def _direct(place: Place) -> Iterator[Running]:
    target = Target("openai", place.upstream, "/direct/v1/chat/completions")
    yield Running("direct", target, {}, counted_as="direct")


@contextmanager
def _floor(place: Place) -> Iterator[Running]:
    with serving("bench.floor", place.folder / "floor.log") as (pid, address):
        yield Running("floor", Target("floor", address), {"server": pid})


DIRECT = Contender("direct", _direct, {"hit": _NO_CACHE})
FLOOR = Contender("floor", _floor, {"hit": "as a miss: it echoes", "paced": "has no upstream that paces it"})
