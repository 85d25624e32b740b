"""The scenarios in which contenders are compared. Pure."""

from dataclasses import dataclass

from msgspec.structs import replace

from bench.generator.window import Window

_WARMING_SECONDS = 0.8
_POOL = 64
_TENANTS = 50
_TOKENS = 64


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


def _unary(concurrency: int, **changes: float) -> Window:
    return replace(Window(streamed=False, concurrency=concurrency, seconds=2.0), **changes)


def _stream(concurrency: int, pace_ms: int = 0, seconds: float = 2.0) -> Window:
    # Paced streams begin spread over the length of one, so that their tokens do not come in step.
    ramp = min(_TOKENS * pace_ms / 1000, 2.0)
    return Window(
        streamed=True,
        concurrency=concurrency,
        seconds=seconds + ramp,
        tokens=_TOKENS,
        pace_ms=pace_ms,
        ramp_seconds=ramp,
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
        "unary-hit-lone",
        "unary, cache hit, 1 in flight",
        _unary(1, hit_percent=100, pool=_POOL, seconds=1.5),
        ("hit",),
    ),
    Scenario("stream-lone", "stream of 64 chunks at once, 1 in flight", _stream(1, seconds=1.5), ("stream",)),
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
        _stream(1000, 100, seconds=0.5),
        ("stream", "paced"),
        ("direct", "headgate"),
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
    return replace(
        window,
        seconds=_WARMING_SECONDS,
        concurrency=min(64, window.concurrency),
        pace_ms=min(5, window.pace_ms),
        ramp_seconds=0.0,
    )


def with_keys(window: Window, available: int) -> Window:
    """Peers have one key each."""
    return replace(window, keys=min(window.keys, available))
