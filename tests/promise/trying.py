"""Tries run after run, some at once, and says what was not true."""

import asyncio
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from google.protobuf import text_format

from tests.promise.books import Books, Disturbance
from tests.promise.drawing import draw_run
from tests.promise.figures import Figures
from tests.promise.killing import KilledSuite, killed_suite
from tests.promise.plans import RunPlan
from tests.promise.running import ask_all, prepare, prices, router_section, run, settle
from tests.support.in_process import InProcessSuite, in_process

_AT_ONCE = 8
_BATCH = 250
"""Runs between two starts of the services."""
_PATIENCE_SECONDS = 10.0
_KILLED_PATIENCE_SECONDS = 30.0
_RULES_KNOWN_SECONDS = 2.2
"""Routers look at limits every two seconds."""
_TIMES = ("first_token_timeout_seconds", "between_tokens_timeout_seconds", "whole_answer_timeout_seconds")
_ENVIRON = {
    "HEADGATE_ROUTER_EXPECTED_OUTPUT_TOKENS": "200",
    "HEADGATE_ROUTER_MAX_OUTPUT_TOKENS": "300",
    "HEADGATE_ROUTER_LIMITS_LOST": "closed",
    # A machine that is busy with all of it is no store that is lost.
    "HEADGATE_RATELIMIT_STORE_TIMEOUT_SECONDS": "10",
}


@dataclass(slots=True)
class Trial:
    """`broken`: by seed, the books of a run and what is wrong with them."""

    figures: Figures = field(default_factory=Figures)
    broken: dict[int, tuple[Books, list[str]]] = field(default_factory=dict)

    def add(self, books: Books, wrong: list[str]) -> None:
        self.figures.add(books)
        if wrong:
            self.broken[books.plan.seed] = (books, wrong)

    def lines(self) -> Iterator[str]:
        for seed, (books, wrong) in sorted(self.broken.items()):
            yield from _described(books)
            yield from (f"NOT TRUE: run {seed}: {each}" for each in dict.fromkeys(wrong))
        yield from self.figures.lines()
        yield "true" if not self.broken else f"NOT TRUE: runs {', '.join(map(str, sorted(self.broken)))}"


async def try_runs(seeds: Sequence[int], environ: Mapping[str, str], nonce: str = "") -> Trial:
    """All in this process; `nonce` is in the names of their organisations."""
    trial = Trial()
    for first in range(0, len(seeds), _BATCH):
        plans = [draw_run(seed, nonce) for seed in seeds[first : first + _BATCH]]
        config = _config(plans, seconds=2.0)
        with TemporaryDirectory(prefix="headgate-promise-") as folder:
            router = config.pop("router")
            async with in_process(Path(folder), router, {**_ENVIRON, **environ}, others=config) as services:
                gate = asyncio.Semaphore(_AT_ONCE)
                await asyncio.gather(*(_try(services, plan, gate, trial) for plan in plans))
    return trial


async def _try(services: InProcessSuite, plan: RunPlan, gate: asyncio.Semaphore, trial: Trial) -> None:
    async with gate:
        trial.add(*await run(services, plan, _PATIENCE_SECONDS))


async def try_killed_runs(seeds: Sequence[int], environ: Mapping[str, str], nonce: str = "") -> Trial:
    """Some at once, while the services are killed at random; then all is awaited, and judged."""
    trial = Trial()
    plans = [draw_run(seed, nonce, slow=True) for seed in seeds]
    with TemporaryDirectory(prefix="headgate-promise-") as folder:
        environment = {**_ENVIRON, **environ}
        async with killed_suite(Path(folder), _config(plans, seconds=10.0), environment) as services:
            for first in range(0, len(plans), _AT_ONCE):
                await _try_killed(services, plans[first : first + _AT_ONCE], trial, environ)
    return trial


async def _try_killed(
    services: KilledSuite, plans: Sequence[RunPlan], trial: Trial, environ: Mapping[str, str]
) -> None:
    prepared = [await prepare(services, plan) for plan in plans]
    await asyncio.sleep(_RULES_KNOWN_SECONDS)
    ended = asyncio.Event()
    rng = random.Random(plans[0].seed)  # noqa: S311 - a choice of victims
    killing = asyncio.ensure_future(services.kill_until(ended, rng))
    asked = await asyncio.gather(*(ask_all(services, each) for each in prepared))
    ended.set()
    killed = await killing
    await services.await_up(prepared[0].keys[0][0])
    trial.figures.killed.update(killed)
    forgot_limits = "ratelimit" in killed and "HEADGATE_RATELIMIT_STORE" not in environ
    disturbance = Disturbance(killed, forgot_limits)
    settling = (
        settle(services, each, answers, disturbance, _KILLED_PATIENCE_SECONDS)
        for each, answers in zip(prepared, asked, strict=True)
    )
    for books, wrong in await asyncio.gather(*settling):
        trial.add(books, wrong)


def _config(plans: Sequence[RunPlan], *, seconds: float) -> dict[str, Any]:
    """`seconds`: how long a provider may keep silent."""
    times = dict.fromkeys(_TIMES, seconds)
    return {
        "router": router_section(plans, "simulator:/v1", **times),
        "ratelimit": {},
        "billing": {"prices": prices(plans)},
    }


def _described(books: Books) -> Iterator[str]:
    """What the run did, so that it can be read without being run again."""
    yield f"run {books.plan.seed} of {books.plan.organization_id}, killed: {', '.join(books.killed) or 'none'}"
    for limit in books.plan.limits:
        yield f"  limit {text_format.MessageToString(limit, as_one_line=True)}"
    for budget in books.budgets:
        yield f"  budget {text_format.MessageToString(budget, as_one_line=True)}"
    for asked in books.asked:
        entries = ", ".join(
            f"{entry.record.attempt_id} {entry.record.usage.input_tokens}+{entry.record.usage.output_tokens}"
            for entry in books.entries_of(asked.plan)
        )
        yield (
            f"  {asked.plan.name} as {asked.plan.caller} for {asked.plan.request.model}: "
            f"{asked.code or 'answered'} {asked.reason} [{entries}]"
        )
