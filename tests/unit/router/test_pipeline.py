"""One request's story, whatever its peers and providers do: every reservation and hold is resolved, every attempt booked."""

import asyncio
import re
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headgate.cache.v1 import cache_service_pb2 as cache
from headgate.chat.v1 import finish_reason_pb2
from headgate.common.v1 import caller_pb2, outcome_pb2
from headgate.router.v1 import completion_pb2
from services._runtime.errors import Code, GatewayError, OverloadedError
from services.router.accounts.limit_settlement import LimitSettlements
from services.router.accounts.refused import RefusedFiles
from services.router.accounts.settlement import Settlements
from services.router.accounts.spool import Spool, open_spool
from services.router.admission import Admission, AdmissionPolicy
from services.router.errors import KeyRevokedError
from services.router.failover import Clock, Failover
from services.router.holding import AnswerBytes
from services.router.peers import Principal
from services.router.pipeline import Pipeline
from services.router.run import Run
from services.router.targets.catalog import Catalog, Target
from services.router.targets.health import TargetHealth
from services.router.targets.provider import FailureKind, ProviderError
from tests.support.router_peers import (
    RecordingBilling,
    RecordingCache,
    RecordingLimits,
    ScriptedProvider,
    ended,
    principal,
    reserving,
    said,
)
from tests.support.waiting import until

ANOTHER = Principal(caller_pb2.Caller(organization_id="acme", key_id="another"), has_hard_budget=False)
ANSWER = [said("a", "b"), said("c"), ended(usage=(5, 3))]
CUT = ProviderError(FailureKind.INTERRUPTED, "the connection broke")
DOWN = ProviderError(FailureKind.OVERLOADED, "HTTP 500")


class RefusedError(GatewayError):
    code = Code.RESOURCE_EXHAUSTED
    reason = "RATE_LIMITED"


class Observer:
    def __init__(self) -> None:
        self.failures: list[BaseException] = []

    def ended(self, run: Run, seconds: float) -> None: ...

    def peer_lost(self, peer: str) -> None: ...

    def failed(self, run: Run, error: BaseException) -> None:
        self.failures.append(error)


class Stage:
    """A pipeline over peers and providers in memory."""

    def __init__(self, spool: Spool, refused: RefusedFiles, *providers: ScriptedProvider) -> None:
        self.limits, self.bank, self.cache = RecordingLimits(), RecordingBilling(), RecordingCache()
        self.observer = Observer()
        self.answers = AnswerBytes(1_000_000)
        self.runs: list[Run] = []
        targets = [
            Target(f"t{index}", "sim", "sim", f"sim-{index}", provider)
            for index, provider in enumerate(providers)
        ]
        catalog = Catalog({target.target_id: target for target in targets}, {"m": targets})
        clock = Clock(lambda: 1.0, lambda: 1_000_000_000)
        policy = AdmissionPolicy(
            cache_scope=cache.CACHE_SCOPE_USER,
            expected_output_tokens=100,
            max_output_tokens=1000,
            on_peer_lost=self.observer.peer_lost,
        )
        self.settlements = Settlements(spool, self.bank, refused, self.observer, lambda: None)
        admission = Admission(
            reserving(self.limits, self.observer.peer_lost), self.cache, self.bank, self.settlements, policy
        )
        health = {target.target_id: TargetHealth() for target in targets}
        self.limit_settlements = LimitSettlements(self.limits, lambda: 1.0, self.observer.peer_lost)
        ids = count(1)
        self.pipeline = Pipeline(
            catalog=catalog,
            admission=admission,
            failover=Failover(
                health=health,
                clock=clock,
                output_bound=admission.output_bound,
                spans=lambda *_: nullcontext(),
                cover_retry=admission.cover_retry,
                on_failure=lambda *_: None,
                longest_stream_seconds=3600.0,
            ),
            limits=self.limit_settlements,
            cached=self.cache,
            settlements=self.settlements,
            observer=self.observer,
            clock=clock,
            new_id=lambda: f"c{next(ids)}",
            linger_seconds=30.0,
            answers=self.answers,
        )

    def begin(self, who: Principal | None = None, *, streamed: bool = True, **fields: Any) -> Run:
        request = completion_pb2.CompletionRequest(**{"model": "m", "prompt": "hi", **fields})
        self.runs.append(self.pipeline.begin(request, who or principal(), streamed=streamed))
        return self.runs[-1]

    async def read(self, run: Run) -> list[completion_pb2.CompletionEvent]:
        """What the handler would write, once the run has settled too."""
        try:
            return await everything(run)
        finally:
            await over(run)

    def check_books(self) -> None:
        """Nothing is reserved, held, or still owed."""
        assert self.limits.open == {}
        assert self.bank.open == set()
        assert self.settlements.depth == self.limit_settlements.depth == 0
        for run in self.runs:
            run.forget()
        assert self.answers.held == 0
        assert (
            max(self.bank.captured.values(), default=1) == max(self.bank.void_holds.values(), default=1) == 1
        )
        assert not set(self.bank.captured) & set(self.bank.void_holds)


async def everything(run: Run) -> list[completion_pb2.CompletionEvent]:
    events: list[completion_pb2.CompletionEvent] = []
    while news := await run.next_events():
        events += news
    return events


async def over(run: Run) -> None:
    assert run.task is not None
    await asyncio.wait([run.task])
    assert run.task.exception() is None


@contextmanager
def staged(*providers: ScriptedProvider) -> Iterator[Stage]:
    root = Path(tempfile.mkdtemp())
    try:
        spool, _ = open_spool(root / "spool", 1_000_000)
        yield Stage(spool, RefusedFiles(root, 1_000_000), *providers)
        spool.close()
    finally:
        shutil.rmtree(root)


async def test_an_answer_is_streamed_settled_captured_and_told() -> None:
    with staged(ScriptedProvider(ANSWER)) as stage:
        events = await stage.read(stage.begin())
        assert [event.WhichOneof("event") for event in events] == [
            "started",
            "delta",
            "choice_finished",
            "finished",
        ]
        assert [event.sequence for event in events] == [1, 2, 3, 4]
        finished = events[-1].finished
        assert (finished.usage.total_tokens, finished.cost.amount_nanos) == (8, 80)
        amounts = stage.limits.settled["c1"]
        assert (amounts.requests, amounts.input_tokens, amounts.output_tokens) == (1, 5, 3)
        assert list(stage.bank.ledger) == ["c1.1"]
        stage.check_books()


async def test_a_stream_that_runs_on_is_ended_truncated_and_billed_and_not_kept() -> None:
    endless = ScriptedProvider([said(*["word"] * 10)] * 50)
    with staged(endless) as stage:
        events = await stage.read(stage.begin(max_output_tokens=3, temperature=0))
        end, finished = events[-2].choice_finished, events[-1].finished
        assert end.finish_reason == finish_reason_pb2.FINISH_REASON_LENGTH
        assert finished.outcome == outcome_pb2.OUTCOME_TRUNCATED
        assert finished.usage.output_tokens == 80
        assert (stage.bank.ledger["c1.1"].outcome, stage.cache.answers) == (finished.outcome, {})
        assert endless.closed == ["c1.1"]
        stage.check_books()


async def test_when_a_key_ends_so_does_what_runs_for_it() -> None:
    never = asyncio.Event()
    with staged(ScriptedProvider([said("a"), never.wait])) as stage:
        run, other = stage.begin(), stage.begin(ANOTHER)
        assert (await run.next_events())[-1].delta.text == "a"
        assert stage.pipeline.running_keys(since=0.5) == set()
        assert stage.pipeline.running_keys(since=1.5) == {"k1", "another"}
        stage.pipeline.end_key("k1")
        with pytest.raises(KeyRevokedError):
            await stage.read(run)
        assert stage.bank.ledger["c1.1"].usage.output_tokens == 1
        stage.pipeline.stop(other, outcome_pb2.OUTCOME_CANCELLED)
        await over(other)
        stage.check_books()


async def test_another_attempt_is_held_for_by_itself_when_the_first_has_used_something() -> None:
    with staged(ScriptedProvider([said("a", usage=(5, 1)), CUT]), ScriptedProvider(ANSWER)) as stage:
        await stage.read(stage.begin(principal(has_hard_budget=True)))
        assert (stage.bank.captured, stage.bank.void_holds) == ({"c1": 1}, {"c1.2": 1})
        stage.check_books()


async def test_an_attempt_that_used_nothing_needs_no_other_hold() -> None:
    refusal = ProviderError(FailureKind.OVERLOADED, "HTTP 503")
    with staged(ScriptedProvider([refusal]), ScriptedProvider(ANSWER)) as stage:
        await stage.read(stage.begin(principal(has_hard_budget=True)))
        assert (stage.bank.captured, stage.bank.void_holds) == ({"c1": 1}, {})
        stage.check_books()


async def test_a_retry_that_no_budget_covers_is_refused_with_both_reasons_and_the_first_is_booked() -> None:
    script: list[Any] = [said("a", usage=(5, 1))]
    with staged(ScriptedProvider(script), ScriptedProvider(ANSWER)) as stage:

        async def spend_the_rest() -> None:
            stage.bank.outage["authorize"] = RefusedError("0 nano-USD are left")

        script.extend([spend_the_rest, CUT])
        with pytest.raises(RefusedError) as refused:
            await stage.read(stage.begin(principal(has_hard_budget=True)))
        assert re.search(r"interrupted.*not covered.*0 nano-USD are left", refused.value.message)
        assert not refused.value.retryable
        assert list(stage.bank.ledger) == ["c1.1"]
        assert stage.bank.captured == {"c1": 1}
        stage.check_books()


async def test_an_answer_that_was_kept_is_replayed_and_booked_without_cost() -> None:
    with staged(ScriptedProvider(ANSWER)) as stage:
        first = await stage.read(stage.begin(temperature=0))
        again = await stage.read(stage.begin(temperature=0))
        assert "".join(event.delta.text for event in again) == "".join(event.delta.text for event in first)
        assert stage.limits.settled["c2"].output_tokens == 0
        assert stage.bank.captured == {"c1": 1}
        assert len(stage.bank.ledger) == 2
        stage.check_books()


async def test_a_kept_answer_that_cannot_be_read_is_a_miss() -> None:
    with staged(ScriptedProvider(ANSWER)) as stage:
        await stage.read(stage.begin(temperature=0))
        stage.cache.answers = dict.fromkeys(stage.cache.answers, b"\xff\xff\xff")
        events = await stage.read(stage.begin(temperature=0))
        assert events[-1].finished.usage.total_tokens == 8
        stage.check_books()


async def test_a_request_that_limits_refuse_is_not_answered_from_the_cache_and_not_booked() -> None:
    with staged(ScriptedProvider(ANSWER)) as stage:
        await stage.read(stage.begin(temperature=0))
        stage.limits.outage["reserve"] = RefusedError("full")
        with pytest.raises(RefusedError):
            await stage.read(stage.begin(temperature=0))
        assert list(stage.bank.ledger) == ["c1.1"]
        stage.check_books()


async def test_a_request_that_billing_refuses_gives_back_what_it_reserved() -> None:
    with staged(ScriptedProvider(ANSWER)) as stage:
        stage.bank.outage["authorize"] = RefusedError("no money")
        with pytest.raises(RefusedError):
            await stage.read(stage.begin())
        assert stage.limits.released == ["c1"]
        stage.check_books()


async def test_with_a_hard_budget_nothing_is_admitted_while_billing_is_down() -> None:
    with staged(ScriptedProvider(ANSWER)) as stage:
        stage.bank.outage.all("authorize")
        with pytest.raises(GatewayError) as refusal:
            await stage.read(stage.begin(principal(has_hard_budget=True)))
        assert refusal.value.reason == "PEER_UNAVAILABLE"
        # The answer may have been lost and the hold be there.
        assert stage.bank.void_holds == {"c1": 1}
        stage.check_books()


async def test_a_defect_is_logged_and_settled_like_any_failure() -> None:
    async def defect() -> None:
        raise ZeroDivisionError

    with staged(ScriptedProvider([said("a"), defect])) as stage:
        with pytest.raises(GatewayError) as refusal:
            await stage.read(stage.begin())
        assert refusal.value.reason == "INTERNAL"
        assert [type(error) for error in stage.observer.failures] == [ZeroDivisionError]
        assert stage.bank.ledger["c1.1"].outcome == outcome_pb2.OUTCOME_FAILED
        stage.check_books()


async def test_a_defect_in_settling_does_not_leave_the_caller_waiting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(_order: object) -> None:
        raise RuntimeError("broken")

    with staged(ScriptedProvider(ANSWER)) as stage:
        monkeypatch.setattr(stage.limits, "settle", fail)
        for _ in range(2):  # the second has the same id: the first has left
            with pytest.raises(GatewayError, match="an internal error"):
                await stage.read(stage.begin(request_id="mine"))
        assert isinstance(stage.observer.failures[0], RuntimeError)
        assert sorted(stage.bank.ledger) == ["c1.1", "c2.1"]


async def test_a_stopped_run_closes_the_provider_and_is_booked_with_what_it_used() -> None:
    reached = asyncio.Event()

    async def wait() -> None:
        reached.set()
        await asyncio.Event().wait()

    provider = ScriptedProvider([said("a", "b", usage=(5, 2)), wait])
    with staged(provider) as stage:
        run = stage.begin()
        await reached.wait()
        stage.pipeline.stop(run, outcome_pb2.OUTCOME_CANCELLED)
        stage.pipeline.stop(run, outcome_pb2.OUTCOME_ABORTED)
        await over(run)
        assert provider.closed == ["c1.1"]
        record = stage.bank.ledger["c1.1"]
        assert (record.outcome, record.usage.output_tokens) == (outcome_pb2.OUTCOME_CANCELLED, 2)
        stage.check_books()


async def test_a_handler_that_does_not_read_holds_back_the_provider_and_can_still_be_stopped() -> None:
    provider = ScriptedProvider([said("x")] * 2000)
    with staged(provider) as stage:
        run = stage.begin()
        for _ in range(2000):
            await asyncio.sleep(0)
        assert run.legs[-1].pieces < 300
        stage.pipeline.stop(run, outcome_pb2.OUTCOME_CANCELLED)
        await over(run)
        assert stage.bank.ledger["c1.1"].usage.output_tokens == run.legs[-1].pieces
        stage.check_books()


async def test_draining_refuses_what_is_new_and_ends_what_runs() -> None:
    with staged(ScriptedProvider([said("a"), asyncio.Event().wait])) as stage:
        runs = [stage.begin() for _ in range(3)]
        await until(lambda: all(run.legs and run.legs[-1].pieces for run in runs), "the first word", 0)
        await stage.pipeline.drain()
        assert {record.outcome for record in stage.bank.ledger.values()} == {outcome_pb2.OUTCOME_ABORTED}
        with pytest.raises(OverloadedError):
            stage.begin()
        stage.check_books()


async def test_a_whole_answer_is_waited_for_after_its_caller_is_gone_so_that_its_usage_is_known() -> None:
    answered = asyncio.Event()
    with staged(ScriptedProvider([answered.wait, *ANSWER])) as stage:
        run = stage.begin(streamed=False)
        await until(lambda: run.legs, "the attempt", 0)
        stage.pipeline.stop(run, outcome_pb2.OUTCOME_CANCELLED)
        answered.set()
        await over(run)
        assert stage.bank.ledger["c1.1"].usage.output_tokens == 3
        stage.check_books()


async def test_draining_does_not_wait_for_an_answer_whose_caller_is_gone() -> None:
    with staged(ScriptedProvider([asyncio.Event().wait])) as stage:
        run = stage.begin(streamed=False)
        await until(lambda: run.legs, "the attempt", 0)
        stage.pipeline.stop(run, outcome_pb2.OUTCOME_CANCELLED)
        async with asyncio.timeout(5):
            await stage.pipeline.drain()
        assert stage.bank.ledger["c1.1"].outcome == outcome_pb2.OUTCOME_CANCELLED
        stage.check_books()


async def test_an_id_is_free_again_as_soon_as_its_answer_is_there() -> None:
    with staged(ScriptedProvider(ANSWER)) as stage:
        for _ in range(3):
            run = stage.begin(request_id="mine")
            await everything(run)
            # Not a turn of the loop later.
        stage.begin(request_id="mine")
        await stage.pipeline.drain()


SCRIPTS = st.lists(
    st.sampled_from(["text", "counted", "turn", "cut", "down", "end"]), min_size=1, max_size=6
).map(lambda steps: [*steps, "end"])
LOST = st.sets(
    st.sampled_from(["reserve", "settle", "release", "authorize", "capture", "void", "lookup", "store"])
)


def script(steps: Sequence[str]) -> list[Any]:
    output, written = 0, []
    for step in steps:
        output += step in ("text", "counted")
        written.append(
            {
                "text": said("x"),
                "counted": said("x", usage=(5, output)),
                "turn": lambda: asyncio.sleep(0),
                "cut": CUT,
                "down": DOWN,
                "end": ended(usage=(5, output)),
            }[step]
        )
        if step in ("cut", "down", "end"):
            return written
    return written


@settings(max_examples=150)
@given(
    scripts=st.lists(SCRIPTS, min_size=1, max_size=3),
    lost=LOST,
    hard=st.booleans(),
    deterministic=st.booleans(),
    stop_after=st.none() | st.integers(0, 30),
)
def test_however_a_request_goes_its_books_are_true_once_everybody_is_back(
    scripts: list[list[str]], lost: set[str], hard: bool, deterministic: bool, stop_after: int | None
) -> None:
    async def story() -> None:
        providers = [ScriptedProvider(script(steps)) for steps in scripts]
        with staged(*providers) as stage:
            for peer in (stage.limits, stage.bank, stage.cache):
                peer.outage.all(*lost)
            temperature = 0.0 if deterministic else 1.0
            run = stage.begin(principal(has_hard_budget=hard), temperature=temperature)
            if stop_after is not None:
                for _ in range(stop_after):
                    await asyncio.sleep(0)
                stage.pipeline.stop(run, outcome_pb2.OUTCOME_CANCELLED)
            await over(run)
            for peer in (stage.limits, stage.bank, stage.cache):
                peer.outage.end()
            await stage.limit_settlements.stop()
            await stage.settlements._replay()
            stage.check_books()
            assert stage.observer.failures == []
            assert set(stage.bank.ledger) == {leg.attempt_id for leg in run.legs}
            assert [leg.attempt_id for leg in run.legs] == [
                attempt for provider in providers for attempt in provider.closed
            ]
            served = sum(leg.usage().output_tokens for leg in run.legs)
            assert sum(amounts.output_tokens for amounts in stage.limits.settled.values()) in (
                {served} if "reserve" not in lost else {0}
            )

    asyncio.run(story())
