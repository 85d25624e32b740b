"""No program of this repository makes a channel or a request that a proxy of the environment could read."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = ("services", "cli", "simulator", "scripts", "bench")
# Where what goes through no proxy is made, and the calls that are made nowhere else.
MAKERS = {
    "services/_runtime/direct.py": {"insecure_channel", "secure_channel"},
    "cli/local_http.py": {"build_opener"},
}
THROUGH_PROXIES = {
    *("insecure_channel", "secure_channel", "intercept_channel"),
    *("urlopen", "urlretrieve", "build_opener", "OpenerDirector"),
    *("ClientSession", "OTLPSpanExporter", "OTLPMetricExporter", "OTLPLogExporter"),
}
DIRECT = {"OTLPSpanExporter": ("channel_options", "NO_PROXY"), "ClientSession": ("trust_env", "False")}


def uses(text: str) -> Iterator[ast.Call | ast.ImportFrom]:
    """Calls of what asks the environment for a proxy, and imports of it under another name."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Call) and called(node) in THROUGH_PROXIES:
            yield node
        if isinstance(node, ast.ImportFrom) and any(
            each.name in THROUGH_PROXIES and each.asname for each in node.names
        ):
            yield node


def called(node: ast.Call) -> str:
    return ast.unparse(node.func).rpartition(".")[2]


def is_direct(node: ast.AST) -> bool:
    """It says itself that it asks for no proxy."""
    if not isinstance(node, ast.Call) or called(node) not in DIRECT:
        return False
    argument, value = DIRECT[called(node)]
    return any(each.arg == argument and value in ast.unparse(each.value) for each in node.keywords)


def strangers(name: str, text: str) -> list[str]:
    made_here = MAKERS.get(name, set())
    return [
        f"{name}:{node.lineno}"
        for node in uses(text)
        if not is_direct(node) and not (isinstance(node, ast.Call) and called(node) in made_here)
    ]


def sources() -> list[Path]:
    here = (path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))
    # What the benchmarks install beside themselves is others'.
    return sorted(path for path in here if not path.is_relative_to(ROOT / "bench" / "out"))


def test_every_channel_and_request_is_made_where_proxies_are_passed_by() -> None:
    found = [
        each for path in sources() for each in strangers(str(path.relative_to(ROOT)), path.read_text("utf-8"))
    ]
    assert found == []


@pytest.mark.parametrize(
    "text",
    [
        "grpc.insecure_channel(target)",
        "channel = grpc.aio.secure_channel(target, credentials, options)",
        "from grpc import insecure_channel as opened",
        "from urllib.request import urlopen\nurlopen('http://127.0.0.1/')",
        "OTLPSpanExporter(endpoint)",
        "aiohttp.ClientSession()",
        "aiohttp.ClientSession(trust_env=True)",
    ],
)
def test_such_a_use_would_be_seen(text: str) -> None:
    assert strangers("services/new.py", text)


@pytest.mark.parametrize("name", MAKERS)
def test_what_makes_them_still_does(name: str) -> None:
    made = {called(node) for node in uses((ROOT / name).read_text("utf-8")) if isinstance(node, ast.Call)}
    assert made == MAKERS[name]


def test_each_maker_of_channels_passes_proxies_by() -> None:
    text = (ROOT / "services/_runtime/direct.py").read_text("utf-8")
    made = [node for node in uses(text) if isinstance(node, ast.Call)]
    assert len(made) == 3
    assert all("NO_PROXY" in ast.unparse(node) for node in made)
