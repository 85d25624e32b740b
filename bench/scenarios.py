"""The scenarios in which contenders are compared. Pure."""

from dataclasses import dataclass

from msgspec.structs import replace

from bench.generator.window import Window

_POOL = 64
_TENANTS = 50


@dataclass(frozen=True, slots=True)
class Scenario:
    """A kind of load. `needs`: what a contender can lack."""

    name: str
    title: str
    window: Window
    needs: tuple[str, ...] = ()
    contenders: tuple[str, ...] = ()
    """Only these; empty: all."""

    def lacking(self, lacks: dict[str, str]) -> str:
        """Why a contender that lacks so much has no answer to this; empty when it has."""
        return next((lacks[need] for need in self.needs if need in lacks), "")


def _unary(concurrency: int, **changes: int) -> Window:
    return replace(Window(streamed=False, concurrency=concurrency, seconds=2.0), **changes)


def _stream(concurrency: int, pace_ms: int = 0) -> Window:
    tokens = 64
    length = tokens * pace_ms / 1000
    # Paced streams begin spread over one stream's length, and no loop begins a second of the long ones.
    seconds = max(2.0, min(3 * length, 3.0))
    return Window(
        streamed=True,
        concurrency=concurrency,
        seconds=seconds,
        tokens=tokens,
        pace_ms=pace_ms,
        ramp_seconds=length,
    )


SCENARIOS = (
    Scenario("unary-miss", "unary, cache miss, 64 in flight", _unary(64)),
    Scenario(
        "unary-hit", "unary, cache hit, 64 in flight", _unary(64, hit_percent=100, pool=_POOL), ("hit",)
    ),
    Scenario("stream", "stream of 64 chunks at once, 64 in flight", _stream(64), ("stream",)),
    Scenario("paced", "64 chunks 5 ms apart, 100 streams", _stream(100, 5), ("stream", "paced")),
    Scenario("unary-miss-lone", "unary, cache miss, 1 in flight", _unary(1)),
    Scenario(
        "unary-hit-lone", "unary, cache hit, 1 in flight", _unary(1, hit_percent=100, pool=_POOL), ("hit",)
    ),
    Scenario("stream-lone", "stream of 64 chunks at once, 1 in flight", _stream(1), ("stream",)),
    Scenario(
        "mix",
        "unary, 30 % hits, 50 tenants, 64 in flight",
        _unary(64, hit_percent=30, pool=2 * _TENANTS, keys=_TENANTS),
        ("hit",),
    ),
    Scenario(
        "long-prompts", "unary, cache miss, prompts of 100 KB, 16 in flight", _unary(16, prompt_bytes=100_000)
    ),
    Scenario(
        "paced-1000",
        "64 chunks 100 ms apart, 1,000 streams",
        _stream(1000, 100),
        ("stream", "paced"),
        ("direct", "headgate", "headgate-shared"),
    ),
)
BY_NAME = {scenario.name: scenario for scenario in SCENARIOS}


def warming(window: Window) -> Window:
    """What is asked before the first round: the repeated questions once, or a short while of the load itself."""
    if window.hit_percent:
        return replace(
            window,
            hit_percent=100,
            requests=window.pool,
            concurrency=min(8, window.concurrency),
            seconds=30.0,
        )
    return replace(window, seconds=0.5, concurrency=min(64, window.concurrency), ramp_seconds=0.0)


def with_keys(window: Window, available: int) -> Window:
    """Peers have one key each."""
    return replace(window, keys=min(window.keys, available))
