"""The router's Prometheus metrics, fed by the pipeline."""

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from headgate.common.v1 import outcome_pb2
from services._runtime.calling.breaker import State as BreakerState
from services._runtime.calling.guard import Guard
from services._runtime.telemetry.masking import Masking
from services.router.accounts.wrong_keys import KINDS
from services.router.answers.leg import Leg
from services.router.run import Run
from services.router.targets.health import State, TargetHealth
from services.router.targets.provider import ProviderError

_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)
_OUTCOMES = {number: name.removeprefix("OUTCOME_").lower() for name, number in outcome_pb2.Outcome.items()}


class RouterMetrics:
    """`Observer` of the pipeline: the four names that dashboards expect, and the router's own."""

    def __init__(
        self, registry: CollectorRegistry, log: Any, known_models: frozenset[str], masking: Masking
    ) -> None:
        self._log = log
        self._known_models = known_models
        self._masking = masking
        requests = Counter(
            "llm_requests", "completions that ended, by how", ("model", "status"), registry=registry
        )
        durations = Histogram(
            "llm_request_duration_seconds",
            "from arrival to the last event",
            ("model",),
            buckets=_SECONDS,
            registry=registry,
        )
        tokens = Counter("llm_tokens", "tokens that providers served", ("model", "type"), registry=registry)
        first_token = Histogram(
            "headgate_router_time_to_first_token_seconds",
            "from asking a target to its first token",
            ("target",),
            buckets=_SECONDS,
            registry=registry,
        )
        attempts = Counter(
            "headgate_router_attempts",
            "attempts at targets, by how they ended",
            ("target", "outcome"),
            registry=registry,
        )
        lost = Counter(
            "headgate_router_peer_lost",
            "calls to a peer that were done without",
            ("peer",),
            registry=registry,
        )
        self.refused = Counter(
            "headgate_router_usage_refused", "captures that billing refused for good", registry=registry
        )

        wrong_keys = Counter(
            "headgate_router_wrong_keys",
            "calls that were refused for their API key, by what is wrong with it",
            ("kind",),
            registry=registry,
        )
        # From the start, so that a rate is there when the first one comes.
        self._wrong_keys = {kind: wrong_keys.labels(kind) for kind in KINDS}

        # A look-up of labels costs more than what is then counted, and there are few of them.
        self._requests, self._durations = cache(requests.labels), cache(durations.labels)
        self._tokens, self._first_token = cache(tokens.labels), cache(first_token.labels)
        self._attempts, self._lost = cache(attempts.labels), cache(lost.labels)

    def ended(self, run: Run, seconds: float) -> None:
        model = run.request.model if run.request.model in self._known_models else "other"
        status = run.error.reason.lower() if run.error is not None else _OUTCOMES[run.outcome]
        self._requests(model, status).inc()
        self._durations(model).observe(seconds)
        if run.legs:
            self._tokens(model, "input").inc(run.used.input_tokens)
            self._tokens(model, "output").inc(run.used.output_tokens)
        for leg in run.legs:
            self._attempts(leg.target.target_id, _OUTCOMES[leg.outcome]).inc()
            if leg.first_token_ns is not None:
                self._first_token(leg.target.target_id).observe((leg.first_token_ns - leg.start_ns) / 1e9)

    def attempt_failed(self, leg: Leg, error: ProviderError) -> None:
        self._log.warning(
            "a target failed",
            target_id=leg.target.target_id,
            attempt_id=leg.attempt_id,
            kind=str(error.kind),
            failure=error.message,
            said=self._masking.line(error.said),
        )

    def peer_lost(self, peer: str) -> None:
        self._lost(peer).inc()

    def wrong_key(self, kind: str) -> None:
        self._wrong_keys[kind].inc()

    def failed(self, run: Run, error: BaseException) -> None:
        self._log.error("unexpected failure", completion_id=run.completion_id, exc_info=error)


class RouterState(Collector):
    """What is read when Prometheus asks: spool depth, each target's health, and each peer's breaker."""

    def __init__(
        self,
        spool_depth: Callable[[], int],
        health: Mapping[str, TargetHealth],
        guards: Mapping[str, Guard],
    ) -> None:
        self._spool_depth = spool_depth
        self._health = health
        self._guards = guards

    def collect(self) -> list[GaugeMetricFamily]:
        depth = GaugeMetricFamily(
            "headgate_router_spool_depth", "captures and voids that billing has not acknowledged"
        )
        depth.add_metric([], self._spool_depth())
        states = GaugeMetricFamily(
            "headgate_router_target_state",
            "1 for the state that the target is in",
            labels=["target", "state"],
        )
        flight = GaugeMetricFamily(
            "headgate_router_target_in_flight", "requests at the target", labels=["target"]
        )
        for target_id, health in self._health.items():
            flight.add_metric([target_id], health.in_flight)
            for state in State:
                states.add_metric([target_id, state], float(health.state is state))
        peers = GaugeMetricFamily(
            "headgate_router_peer_state",
            "1 for the state that the peer's breaker is in",
            labels=["peer", "state"],
        )
        for peer, guard in self._guards.items():
            for state_of_peer in BreakerState:
                peers.add_metric([peer, state_of_peer], float(guard.state is state_of_peer))
        return [depth, states, flight, peers]
