"""clients/python: the stubs alone, usable where nothing of the services is installed."""

import os
import subprocess
import sys
import tomllib
import venv
from collections.abc import Iterator
from importlib.metadata import Distribution, distribution
from pathlib import Path
from shutil import copyfile
from zipfile import ZipFile

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from scripts import contracts
from tests.support.suite import RunningSuite

# The first test starts the suite, on a machine that others use too.
pytestmark = pytest.mark.timeout(300)

ROOT = Path(__file__).parents[2]
CLIENT = ROOT / "clients/python"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    offline = ("--no-deps", "--no-index", "--no-build-isolation", "--disable-pip-version-check")
    run(sys.executable, "-m", "pip", "wheel", "--quiet", *offline, "--wheel-dir", str(folder), str(CLIENT))
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of an environment with the wheel and what its metadata asks for, and nothing else."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=False)
    (site,) = folder.glob("lib/python*/site-packages")
    with ZipFile(wheel) as archive:
        archive.extractall(site)
    for required in required_by(client_in(site), {}).values():
        copy_into(site, required)
    return folder / "bin/python"


def client_in(site: Path) -> Distribution:
    (found,) = Distribution.discover(name="headgate-client", path=[str(site)])
    return found


def required_by(dist: Distribution, found: dict[str, Distribution]) -> dict[str, Distribution]:
    """What it needs, and what that needs, as installed where the tests run."""
    for requirement in map(Requirement, dist.requires or []):
        name = canonicalize_name(requirement.name)
        if name not in found and (requirement.marker is None or requirement.marker.evaluate({"extra": ""})):
            found[name] = distribution(name)
            required_by(found[name], found)
    return found


def copy_into(site: Path, dist: Distribution) -> None:
    for file in dist.files or []:
        if ".." not in file.parts and "__pycache__" not in file.parts:
            (site / file).parent.mkdir(parents=True, exist_ok=True)
            copyfile(str(file.locate()), site / file)


def run(*command: str, **environ: str) -> str:
    inherited = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        command, env={**inherited, **environ}, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_it_has_every_stub_and_nothing_else(wheel: Path) -> None:
    with ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    typed = {"headgate/py.typed", "buf/py.typed", "envoy/py.typed"}
    assert names == contracts.stub_files(contracts.GENERATED) | typed


def test_its_version_and_what_it_needs_are_those_of_the_services(python: Path) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    (site,) = python.parent.parent.glob("lib/python*/site-packages")
    client = client_in(site)
    assert client.version == project["version"]
    assert sorted(client.requires or []) == [
        "googleapis-common-protos>=1.76",
        "grpcio>=1.85.1",
        "protobuf>=7.36",
    ]
    assert set(client.requires or []) <= set(project["dependencies"])


def test_its_environment_has_no_part_of_a_server(python: Path) -> None:
    (site,) = python.parent.parent.glob("lib/python*/site-packages")
    installed = {canonicalize_name(found.name) for found in Distribution.discover(path=[str(site)])}
    assert installed == {
        "headgate-client",
        "googleapis-common-protos",
        "grpcio",
        "protobuf",
        "typing-extensions",
    }
    assert (
        run(str(python), "-I", "-c", "import importlib.util as u; print(u.find_spec('services'))") == "None\n"
    )


def test_every_module_of_it_is_imported_there(python: Path) -> None:
    modules = list(stub_modules())
    assert len(modules) > 30
    run(str(python), "-I", "-c", "\n".join(f"import {module}" for module in modules))


def test_the_example_talks_to_a_running_suite_with_it(python: Path, suite: RunningSuite) -> None:
    program, address = str(ROOT / "examples/python/client.py"), suite.addresses.grpc["router"]
    printed = run(str(python), "-E", "-s", program, address, KEY=suite.new_key("client-package"))
    assert " tokens, " in printed.splitlines()[-1]


def test_a_type_checker_finds_its_types(python: Path, tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(
        "from headgate.router.v1 import completion_pb2\n"
        "reveal_type(completion_pb2.CompletionRequest().max_output_tokens)\n"
    )
    # Types of gRPC and protobuf are packages of their own.
    alone = ("--config-file", os.devnull, "--cache-dir", os.devnull, "--disable-error-code", "import-untyped")
    told = run(sys.executable, "-m", "mypy", *alone, "--python-executable", str(python), str(program))
    assert 'Revealed type is "int"' in told.replace("builtins.", "")


def stub_modules() -> Iterator[str]:
    for name in sorted(contracts.stub_files(contracts.GENERATED)):
        if name.endswith(".py"):
            yield name.removesuffix(".py").replace("/", ".")
