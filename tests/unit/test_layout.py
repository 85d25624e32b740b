"""What imports can't show of the layout: cores take the time, the environment and chance as arguments."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SERVICES = ("router", "cache", "ratelimit", "billing")
PACKAGES = ("services", "simulator", "cli")
# A service's modules that wire, translate or keep things; a new module is core until it stands here.
EDGES = {
    "router": {"grpc_peers", "grpc_records", "refused", "spool"},
    "cache": {"secret", "translation"},
    "ratelimit": {"envoy_servicer", "translation"},
    "billing": {"account_servicer", "pepper", "posting_messages", "resource_messages", "usage_messages"},
}
EVERY_SERVICES_EDGES = {"__main__", "servicer", "settings", "metrics"}
ADAPTERS = {"stores", "providers", "migrations"}
AMBIENT = {
    "time": {"time", "time_ns", "monotonic", "monotonic_ns", "perf_counter", "perf_counter_ns", "sleep"},
    "datetime": {"now", "utcnow", "today"},
    "date": {"today"},
    "os": {"environ", "getenv", "urandom"},
    "random": {"*"},
    "secrets": {"*"},
    "uuid": {"uuid1", "uuid4"},
}
# Every error is kept here for those who wait in another task.
HAND_ERRORS_ON = ("services.router.pipeline", "services.billing.stores.sql.group_commit")


@dataclass(frozen=True)
class Module:
    path: Path

    @property
    def name(self) -> str:
        return ".".join(self.path.relative_to(ROOT).with_suffix("").parts)

    @property
    def tree(self) -> ast.Module:
        return ast.parse(self.path.read_text())


def modules(*folders: str) -> Iterator[Module]:
    for folder in folders:
        yield from (Module(path) for path in sorted((ROOT / folder).rglob("*.py")))


def core() -> list[Module]:
    """Modules of services that are neither edges nor adapters."""
    found = []
    for service in SERVICES:
        edges = EVERY_SERVICES_EDGES | EDGES[service]
        for module in modules(f"services/{service}"):
            inner = module.path.relative_to(ROOT / "services" / service)
            if inner.parts[0] not in ADAPTERS and inner.stem not in edges:
                found.append(module)
    return found


def imported(module: Module) -> set[str]:
    """Full names of what is imported, both of the module and of the name in it."""
    names: set[str] = set()
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        if isinstance(node, ast.ImportFrom):
            names |= {f"{node.module}.{alias.name}" for alias in node.names} | {str(node.module)}
    return names


def ambient(tree: ast.AST) -> set[str]:
    """Uses of the clock, the environment or chance, called or passed on."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            taken = AMBIENT.get(str(node.module), set())
            found |= {f"{node.module}.{n.name}" for n in node.names if n.name in taken or "*" in taken}
        if isinstance(node, ast.Attribute):
            owner = (
                node.value.attr if isinstance(node.value, ast.Attribute) else getattr(node.value, "id", "")
            )
            taken = AMBIENT.get(owner, set())
            if node.attr in taken or "*" in taken:
                found.add(f"{owner}.{node.attr}")
    return found


@pytest.mark.parametrize("module", core(), ids=lambda module: module.name)
def test_a_core_module_is_told_the_time_the_environment_and_chance(module: Module) -> None:
    assert ambient(module.tree) == set()


@pytest.mark.parametrize(
    "module", [m for m in core() if not m.name.startswith("services.router.")], ids=lambda module: module.name
)
def test_a_core_module_knows_no_message_of_the_contract(module: Module) -> None:
    assert {name for name in imported(module) if name.partition(".")[0] in {"headgate", "envoy"}} == set()


def test_the_edges_that_are_named_exist() -> None:
    for service, edges in EDGES.items():
        present = {path.stem for path in (ROOT / "services" / service).rglob("*.py")}
        assert edges <= present


def test_nothing_imports_a_main_module_or_a_test() -> None:
    wrong = {
        (module.name, name)
        for module in modules(*PACKAGES)
        for name in imported(module)
        if name.endswith(".__main__") or name.partition(".")[0] in {"tests", "conftest"}
    }
    assert wrong == set()


def test_every_module_opens_with_a_line_that_says_its_job() -> None:
    silent = [
        module.name
        for module in modules(*PACKAGES)
        if module.tree.body and ast.get_docstring(module.tree) is None
    ]
    assert silent == []


def test_whatever_is_caught_broadly_is_raised_again() -> None:
    swallowed = {
        module.name
        for module in modules(*(f"services/{service}" for service in SERVICES))
        for node in ast.walk(module.tree)
        if isinstance(node, ast.ExceptHandler)
        and (node.type is None or getattr(node.type, "id", "") in {"Exception", "BaseException"})
        and not isinstance(node.body[-1], ast.Raise)
    }
    assert swallowed <= set(HAND_ERRORS_ON)


@pytest.mark.parametrize(
    "text",
    [
        "import time\ndef f():\n    return time.monotonic()",
        "from time import time_ns",
        "import os\nX = os.environ['X']",
        "import datetime\nd = datetime.datetime.now()",
        "from datetime import datetime\nd = datetime.now",
        "import random\nr = random.random()",
        "from secrets import choice",
    ],
)
def test_such_a_use_would_be_seen(text: str) -> None:
    assert ambient(ast.parse(text)) != set()
