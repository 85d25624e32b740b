"""Completions on a terminal: the request, the answer as it comes, and the line that says what it took."""

import time
from typing import Any

from rich.console import Console

from cli import output
from cli.client import Peer
from cli.errors import CommandError
from cli.terminal import echo
from headgate.chat.v1 import finish_reason_pb2, message_pb2
from headgate.common.v1.cache_status_pb2 import CACHE_STATUS_EXACT, CACHE_STATUS_SEMANTIC, CacheStatus
from headgate.common.v1.outcome_pb2 import OUTCOME_COMPLETE, Outcome
from headgate.common.v1.usage_pb2 import USAGE_SOURCE_ESTIMATED
from headgate.router.v1 import completion_pb2 as pb
from headgate.router.v1 import router_service_pb2
from headgate.router.v1.router_service_pb2_grpc import RouterServiceStub

_CACHE_MODES = {"on": pb.CACHE_MODE_ON, "off": pb.CACHE_MODE_OFF, "refresh": pb.CACHE_MODE_REFRESH}

_TOLD_BY_THE_OUTCOME = (
    finish_reason_pb2.FINISH_REASON_UNSPECIFIED,
    finish_reason_pb2.FINISH_REASON_STOP,
    finish_reason_pb2.FINISH_REASON_LENGTH,
    finish_reason_pb2.FINISH_REASON_CONTENT_FILTER,
)


def first_model(router: Peer) -> str:
    request = router_service_pb2.ListModelsRequest()
    found = router.call(RouterServiceStub(router.channel).ListModels, request).models
    if not found:
        raise CommandError("no model is configured", "Declare one under `router:` in the configuration file")
    return str(found[0].model_id)


def build_request(
    prompt: str,
    model: str,
    *,
    system: str | None = None,
    max_tokens: int | None = None,
    temperature: float | None = None,
    cache: str | None = None,
) -> pb.CompletionRequest:
    request = pb.CompletionRequest(model=model, max_output_tokens=max_tokens, temperature=temperature)
    if system is None:
        request.prompt = prompt
    else:
        request.messages.add(role=message_pb2.ROLE_SYSTEM).parts.add(text=system)
        request.messages.add(role=message_pb2.ROLE_USER).parts.add(text=prompt)
    if cache is not None:
        request.cache.mode = _CACHE_MODES[cache]
    return request


def print_stream(
    router: Peer, request: pb.CompletionRequest, *, as_json: bool, timeout_seconds: float | None
) -> None:
    stub = RouterServiceStub(router.channel)
    events = router.stream(stub.StreamComplete, request, timeout_seconds=timeout_seconds)
    if as_json:
        for event in events:
            output.print_json(output.as_json(event))
        return
    view = StreamView(output.stdout(), output.stderr(), time.monotonic())
    try:
        for event in events:
            view.show(event)
    finally:
        view.end_line()
    view.summarise(time.monotonic())


def print_whole(
    router: Peer, request: pb.CompletionRequest, *, as_json: bool, timeout_seconds: float | None
) -> None:
    started = time.monotonic()
    stub = RouterServiceStub(router.channel)
    completion = router.call(stub.Complete, request, timeout_seconds=timeout_seconds)
    if as_json:
        output.print_json(output.as_json(completion))
        return
    out = output.stdout()
    for choice in completion.choices:
        for part in choice.message.parts:
            _print_part(out, part)
    summary = summary_line(completion, completion.finished, time.monotonic() - started, None)
    output.stderr().print(summary, style="dim")


def _print_part(out: Console, part: message_pb2.Part) -> None:
    match part.WhichOneof("content"):
        case "text":
            echo(part.text)
        case "reasoning":
            out.print(part.reasoning.text, style="dim", soft_wrap=True)
        case "tool_call":
            out.print(f"{part.tool_call.name}({part.tool_call.arguments_json})", soft_wrap=True)
        case other:
            out.print(f"[{other}]", style="dim")


class StreamView:
    """A stream's events on a terminal."""

    def __init__(self, out: Console, err: Console, started_at: float) -> None:
        self._out, self._err, self._started_at = out, err, started_at
        self._first_token_at: float | None = None
        self._mid_line = False
        self._kind: str | None = None
        self._started = pb.Started()
        self.finished = pb.Finished()

    def show(self, event: pb.CompletionEvent) -> None:
        match event.WhichOneof("event"):
            case "started":
                self._started = event.started
            case "delta":
                self._show_delta(event.delta)
            case "choice_finished":
                self._show_choice_end(event.choice_finished)
            case "failed_over":
                self._show_failover(event.failed_over)
            case "finished":
                self.finished = event.finished

    def end_line(self) -> None:
        if self._mid_line:
            echo("")
            self._mid_line = False

    def summarise(self, now: float) -> None:
        first = None if self._first_token_at is None else self._first_token_at - self._started_at
        line = summary_line(self._started, self.finished, now - self._started_at, first)
        self._err.print(line, style="dim", soft_wrap=True)

    def _show_delta(self, delta: pb.Delta) -> None:
        if self._first_token_at is None:
            self._first_token_at = time.monotonic()
        kind = delta.WhichOneof("content")
        if self._kind == "reasoning" and kind != self._kind:
            self.end_line()
        self._kind = kind
        match kind:
            case "text":
                self._write(delta.text)
            case "reasoning":
                self._write_dim(delta.reasoning.text)
            case "tool_call" if delta.tool_call.name:
                self.end_line()
                self._write_dim(f"{delta.tool_call.name} ")
                self._write(delta.tool_call.arguments_fragment)
            case "tool_call":
                self._write(delta.tool_call.arguments_fragment)
            case "refusal":
                self._write(delta.refusal)

    def _show_choice_end(self, end: pb.ChoiceFinished) -> None:
        if end.finish_reason not in _TOLD_BY_THE_OUTCOME:
            self.end_line()
            reason = output.word(finish_reason_pb2.FinishReason, end.finish_reason)
            self._err.print(f"the model stopped: {reason}", style="dim")

    def _show_failover(self, failover: pb.FailedOver) -> None:
        self.end_line()
        how = "the answer begins anew" if failover.content_restarts else "the answer goes on"
        self._err.print(
            f"{failover.from_target_id} failed ({failover.reason}); with {failover.to_target_id} {how}:",
            style="yellow",
        )

    def _write(self, text: str) -> None:
        echo(text, end="")
        self._mid_line = not text.endswith("\n") if text else self._mid_line

    def _write_dim(self, text: str) -> None:
        self._out.print(text, style="dim", end="", soft_wrap=True)
        self._mid_line = not text.endswith("\n") if text else self._mid_line


def summary_line(answer: Any, finished: pb.Finished, seconds: float, first: float | None) -> str:
    """`sim-small by simulator · 12 + 34 tokens · $0.0000123 · cache miss · 0.42 s, first token after 0.05 s`."""
    usage, estimated = finished.usage, finished.usage.source == USAGE_SOURCE_ESTIMATED
    parts = [
        f"{answer.served_model or answer.requested_model} by {answer.provider or 'the cache'}",
        f"{usage.input_tokens:,} + {usage.output_tokens:,} tokens{' (estimated)' if estimated else ''}",
        _cost(finished),
        f"cache {cache_word(answer.cache_status)}",
        f"{seconds:.2f} s" + (f", first token after {first:.2f} s" if first is not None else ""),
    ]
    if finished.outcome != OUTCOME_COMPLETE:
        parts.append(output.word(Outcome, finished.outcome))
    return " · ".join(parts)


def cache_word(status: CacheStatus.ValueType) -> str:
    words = {CACHE_STATUS_EXACT: "hit", CACHE_STATUS_SEMANTIC: "hit by meaning"}
    return words.get(status) or output.word(CacheStatus, status)


def _cost(finished: pb.Finished) -> str:
    if not finished.HasField("cost"):
        return "cost not known yet"
    return "no price known" if finished.cost.unpriced else output.usd(finished.cost.amount_nanos)
