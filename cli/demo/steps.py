"""The demonstration's steps: each shows something real and checks what it has shown."""

import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Self

from rich.console import Console

from cli import accounts, limits, usage_report
from cli.client import Peer, connected
from cli.completions import StreamView, build_request
from cli.errors import CommandError
from cli.installation import Addresses
from cli.suite.first_key import ORGANIZATION
from headgate.billing.v1 import usage_pb2
from headgate.common.v1.cache_status_pb2 import CACHE_STATUS_EXACT, CACHE_STATUS_MISS
from headgate.common.v1.outcome_pb2 import OUTCOME_COMPLETE
from headgate.router.v1 import completion_pb2 as pb
from headgate.router.v1.router_service_pb2_grpc import RouterServiceStub

PROMPT = "Explain in two sentences what a gateway in front of language models does."
# Room for two sentences: an answer that is cut off is not kept by the cache.
_MAX_TOKENS = 512
_SMALL_LIMIT = 2
_WINDOW = timedelta(seconds=30)
_REQUEST_SECONDS = 60.0
_LEDGER_SECONDS = 5.0
_POLL_SECONDS = 0.05
_GUEST = "guest"


def check(holds: bool, what: str) -> None:
    """:raises CommandError: the demonstration did not show what it says it shows"""
    if not holds:
        raise CommandError(f"the demo's check failed: {what}")


@dataclass(frozen=True, slots=True)
class Answer:
    """A stream that was shown, as it arrived."""

    started: pb.Started
    finished: pb.Finished
    text: str
    deltas: int
    seconds: float


@dataclass(slots=True)
class Reading:
    """Takes a stream apart while it is shown."""

    started: pb.Started = field(default_factory=pb.Started)
    text: str = ""
    deltas: int = 0

    def take(self, event: pb.CompletionEvent) -> None:
        if event.HasField("started"):
            self.started = event.started
        elif event.HasField("delta"):
            self.deltas += 1
            self.text += event.delta.text


class Demonstration:
    """Calls to a running suite, as its first user and as a guest with a small limit."""

    def __init__(self, addresses: Addresses, api_key: str, internal_token: str, model: str) -> None:
        self._addresses = addresses
        self._api_key = api_key
        self._internal_token = internal_token
        self._model = model
        self._ending = ExitStack()
        self.answers: list[Answer] = []

    def __enter__(self) -> Self:
        self._router = self._connect("router", self._api_key)
        self._billing = self._connect("billing", self._internal_token)
        self._ratelimit = self._connect("ratelimit", self._internal_token)
        return self

    def __exit__(self, *_exception: object) -> None:
        self._ending.close()

    def stream(self, out: Console, err: Console) -> None:
        answer = self._ask(self._router, out, err, self._request(PROMPT))
        check(answer.started.cache_status == CACHE_STATUS_MISS, "the first answer comes from a provider")
        check(answer.deltas > 1, f"the answer comes in pieces, and came in {answer.deltas}")
        check(answer.finished.outcome == OUTCOME_COMPLETE, "the answer is whole")

    def repeat(self, out: Console, err: Console) -> None:
        first = self.answers[0]
        again = self._ask(self._router, out, err, self._request(PROMPT))
        check(
            again.started.cache_status == CACHE_STATUS_EXACT, "the repeated request is answered by the cache"
        )
        check(again.text == first.text, "the cache answers what the provider had answered")
        check(again.finished.cost.amount_nanos == 0, "an answer from the cache costs nothing")

    def trip_limit(self, out: Console, err: Console) -> str:
        """The refusal, in the words of the command line."""
        made = accounts.create_key(self._billing, ORGANIZATION, _GUEST, "demo")
        limit = limits.build(
            "demo/guest", "requests", window=f"{_SMALL_LIMIT}/{_WINDOW.total_seconds():.0f}s"
        )
        limits.select(limit, {"key_id": made.key.key_id})
        limits.put(self._ratelimit, limit)
        guest = self._connect("router", made.token)
        for number in range(_SMALL_LIMIT):
            self._ask(guest, out, err, self._request(f"Say hello to guest {number + 1}.", tokens=16))
        try:
            self._ask(guest, out, err, self._request("Say hello once more.", tokens=16))
        except CommandError as refusal:
            check(refusal.reason == "RATE_LIMITED", f"a rate limit refuses, but: {refusal.line}")
            check(refusal.retry_after_seconds is not None, "the refusal says when to try again")
            return refusal.line
        raise CommandError(f"the demo's check failed: the limit of {_SMALL_LIMIT} admitted a request more")

    def ledger(self) -> Sequence[usage_pb2.LedgerEntry]:
        """A row per answer; settled behind the answers, so it is waited for."""
        deadline = time.monotonic() + _LEDGER_SECONDS
        while True:
            entries = usage_report.ledger(self._billing, usage_pb2.UsageFilter(), 100)
            if len(entries) >= len(self.answers) or time.monotonic() > deadline:
                break
            time.sleep(_POLL_SECONDS)
        check(len(entries) == len(self.answers), f"{len(self.answers)} answers are {len(entries)} rows")
        self._check_booked(entries)
        return entries

    def _check_booked(self, entries: Sequence[usage_pb2.LedgerEntry]) -> None:
        booked = {entry.record.completion_id: entry for entry in entries}
        for answer in self.answers:
            entry = booked.get(answer.started.completion_id)
            check(entry is not None, f"completion {answer.started.completion_id} is in the ledger")
            if entry is not None and answer.started.cache_status == CACHE_STATUS_MISS:
                told, kept = answer.finished.usage, entry.record.usage
                check(told.output_tokens == kept.output_tokens, "the ledger has the tokens that were told")

    def _request(self, prompt: str, tokens: int = _MAX_TOKENS) -> pb.CompletionRequest:
        return build_request(prompt, self._model, max_tokens=tokens, temperature=0.0)

    def _ask(self, router: Peer, out: Console, err: Console, request: pb.CompletionRequest) -> Answer:
        began = time.monotonic()
        view, reading = StreamView(out, err, began), Reading()
        stub = RouterServiceStub(router.channel)
        for event in router.stream(stub.StreamComplete, request, timeout_seconds=_REQUEST_SECONDS):
            view.show(event)
            reading.take(event)
        view.end_line()
        view.summarise(time.monotonic())
        answer = Answer(
            reading.started, view.finished, reading.text, reading.deltas, time.monotonic() - began
        )
        self.answers.append(answer)
        return answer

    def _connect(self, service: str, token: str) -> Peer:
        return self._ending.enter_context(connected(service, self._addresses.grpc[service], token))
