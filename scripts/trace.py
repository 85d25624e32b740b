"""Writes docs/trace.md: one request across the four services, from the spans of a real run (`make trace`)."""

import json
import os
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from cli.suite.first_key import ensure_key
from cli.suite.signals import StopSignals
from cli.suite.suite import Suite, SuiteOptions
from headgate.router.v1 import completion_pb2, router_service_pb2_grpc
from services._runtime.direct import open_cleartext

ROOT = Path(__file__).resolve().parent.parent
SERVICES = ("router", "ratelimit", "cache", "billing")
TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"  # the W3C specification's own example
CLIENT_SPAN = "00f067aa0ba902b7"
BATCH = "headgate.batch."
WIDTH = 44
PAGE = """\
# One request across the four services

A `StreamComplete` that misses the cache, as its spans tell it; the model server is the simulator, which took {upstream} to
answer. Each line is one span: the service, what it did, when it began after the request's start, and how long it took. The
bar shows when. The peers' calls are batches, which travel over one `Exchange` stream per peer: in a busy process one such span
serves many requests, and links to each.

`make trace` runs the suite, sends the request with a sampled `traceparent`, and writes this page from the spans that the
services wrote (`HEADGATE_<SERVICE>_TRACE_FILE`; with `HEADGATE_<SERVICE>_OTLP_ENDPOINT` they go to a collector). Attribute
names follow OpenTelemetry's RPC and GenAI conventions.

```text
{tree}
```

The spans' attributes, without ids that differ from run to run:

```text
{attributes}
```
"""


@dataclass(frozen=True)
class Span:
    """A span as it stands in the file. Times are nanoseconds since the epoch."""

    span_id: str
    parent_id: str
    service: str
    name: str
    start_ns: int
    end_ns: int
    attributes: dict[str, object]


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        ask(Path(folder))
        spans = [span for service in SERVICES for span in read(Path(folder) / f"{service}.jsonl", service)]
    page = render(spans)
    (ROOT / "docs" / "trace.md").write_text(page, encoding="utf-8")
    print(page)


def ask(folder: Path) -> None:
    """Send one request through a suite whose services write their spans to `folder`."""
    files = {f"HEADGATE_{name.upper()}_TRACE_FILE": str(folder / f"{name}.jsonl") for name in SERVICES}
    ratios = {f"HEADGATE_{name.upper()}_TRACE_SAMPLE_RATIO": "0" for name in SERVICES}
    environ = {**os.environ, **files, **ratios}
    options = SuiteOptions(folder / "data", simulator=True, free_ports=True)
    with StopSignals() as signals, Suite(options, environ, signals) as suite:
        addresses = suite.start()
        key = ensure_key(suite.installation, addresses)
        with open_cleartext(addresses.grpc["router"]) as channel:
            router = router_service_pb2_grpc.RouterServiceStub(channel)
            send(router, key, "")
            send(router, key, f"00-{TRACE_ID}-{CLIENT_SPAN}-01")


def send(router: router_service_pb2_grpc.RouterServiceStub, key: str, traceparent: str) -> None:
    # The first request, without a trace, opens connections; the second is the one that is told.
    request = completion_pb2.CompletionRequest(
        model="sim-small", prompt=f"Why is the sky blue? {len(traceparent)}"
    )
    request.temperature = 0
    request.max_output_tokens = 12
    metadata: tuple[tuple[str, str], ...] = (("authorization", f"Bearer {key}"),)
    if traceparent:
        metadata += (("traceparent", traceparent),)
    for _event in router.StreamComplete(request, metadata=metadata, timeout=30):
        continue


def read(path: Path, service: str) -> Iterator[Span]:
    for line in path.read_text(encoding="utf-8").splitlines():
        raw = json.loads(line)
        if raw["context"]["trace_id"].removeprefix("0x") == TRACE_ID:
            yield Span(
                raw["context"]["span_id"].removeprefix("0x"),
                (raw["parent_id"] or "").removeprefix("0x"),
                service,
                raw["name"],
                nanoseconds(raw["start_time"]),
                nanoseconds(raw["end_time"]),
                raw["attributes"],
            )


def nanoseconds(stamp: str) -> int:
    moment = datetime.fromisoformat(stamp) - datetime(1970, 1, 1, tzinfo=UTC)
    return (moment.days * 86_400 + moment.seconds) * 1_000_000_000 + moment.microseconds * 1000


def render(spans: Sequence[Span]) -> str:
    children: dict[str, list[Span]] = defaultdict(list)
    for span in sorted(spans, key=lambda span: span.start_ns):
        children[span.parent_id].append(span)
    (root,) = children[CLIENT_SPAN]
    end_ns = max(span.end_ns for span in spans)
    lines = list(tree(root, children, root.start_ns, end_ns, 0))
    upstream = next(span for span in spans if span.name.startswith("chat "))
    attributes = [
        f"{span.service:<9} {title(span)}\n{described(span)}" for span in (root, *ordered(root, children))
    ]
    return PAGE.format(
        upstream=milliseconds(upstream.end_ns - upstream.start_ns),
        tree=f"trace {TRACE_ID}\n" + "\n".join(lines),
        attributes="\n".join(attributes),
    )


def tree(span: Span, children: dict[str, list[Span]], zero: int, end: int, depth: int) -> Iterator[str]:
    scale = WIDTH / max(1, end - zero)
    left = round((span.start_ns - zero) * scale)
    bar = " " * left + "█" * max(1, round((span.end_ns - span.start_ns) * scale))
    what = "  " * depth + title(span)
    when = f"{milliseconds(span.start_ns - zero):>9} {milliseconds(span.end_ns - span.start_ns):>9}"
    yield f"{span.service:<9} {what:<34} {when}  {bar}".rstrip()
    for child in children[span.span_id]:
        yield from tree(child, children, zero, end, depth + 1)


def ordered(span: Span, children: dict[str, list[Span]]) -> Iterator[Span]:
    for child in children[span.span_id]:
        yield child
        yield from ordered(child, children)


def described(span: Span) -> str:
    shown = {name: value for name, value in sorted(span.attributes.items()) if not name.endswith(".id")}
    return "\n".join(f"    {name} = {value}" for name, value in shown.items())


def title(span: Span) -> str:
    """The method, and of an exchange what it carried: `Exchange settle`."""
    carried = [name.removeprefix(BATCH) for name in span.attributes if name.startswith(BATCH)]
    return " ".join([span.name.rpartition("/")[2], *carried])


def milliseconds(nanos: int) -> str:
    return f"{nanos / 1e6:.1f} ms"


if __name__ == "__main__":
    main()
