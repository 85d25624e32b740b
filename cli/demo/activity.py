"""What each service did, from its own Prometheus endpoint."""

from collections.abc import Mapping
from dataclasses import dataclass

from prometheus_client.parser import text_string_to_metric_families
from rich.table import Table

from cli import local_http, output
from cli.suite.child import Child

_TIMEOUT_SECONDS = 5.0
_UNINTERESTING = ("Health", "ServerReflection", "Channelz")


@dataclass(frozen=True, slots=True)
class Activity:
    """RPCs that one service served: how many, how long, which failed."""

    calls: Mapping[str, int]
    refused: int
    seconds: float


def read_activity(metrics_address: str) -> Activity:
    exposition = local_http.fetch(f"http://{metrics_address}/metrics", _TIMEOUT_SECONDS)
    return parse_activity(exposition.decode())


def parse_activity(exposition: str) -> Activity:
    calls: dict[str, int] = {}
    refused, seconds = 0, 0.0
    for family in text_string_to_metric_families(exposition):
        for sample in family.samples:
            service, _, method = sample.labels.get("rpc", "").rpartition("/")
            if not method or service.endswith(_UNINTERESTING):
                continue
            if sample.name == "headgate_rpc_requests_total":
                calls[method] = calls.get(method, 0) + int(sample.value)
                refused += int(sample.value) if sample.labels["code"] != "OK" else 0
            elif sample.name == "headgate_rpc_duration_seconds_sum":
                seconds += sample.value
    return Activity({name: count for name, count in calls.items() if count}, refused, seconds)


def table(children: Mapping[str, Child], activities: Mapping[str, Activity]) -> Table:
    made = output.table("Service", ">Process", ">RPCs", ">Refused", ">Mean", "Which")
    for name, activity in activities.items():
        total = sum(activity.calls.values())
        mean = f"{activity.seconds / total * 1000:.1f} ms" if total else "-"
        which = ", ".join(f"{method} {count}" for method, count in sorted(activity.calls.items()))
        made.add_row(name, str(children[name].pid), str(total), str(activity.refused), mean, which)
    return made
