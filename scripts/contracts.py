"""Generates gen/python from protos/, and checks the contracts: lint, breaking changes, fresh stubs.

Generator and linter come from pinned packages, so the result is the same on every machine. protos/google is copied from
the googleapis-common-protos package, unchanged, so that protos/ compiles by itself; the package also has the Python stubs
of these files, and one process can't load two, so none are generated.
"""

from __future__ import annotations

import filecmp
import shutil
import subprocess
import sys
import tempfile
from importlib.resources import files
from pathlib import Path

from google.api import field_behavior_pb2
from grpc_tools import protoc

ROOT = Path(__file__).resolve().parent.parent
PROTOS = ROOT / "protos"
GOOGLE_APIS = Path(field_behavior_pb2.__file__).parents[2]
GENERATED = ROOT / "gen" / "python"
RELEASED = PROTOS / "released.binpb"
BIN = Path(sys.executable).parent


def main() -> int:
    commands = {"generate": generate, "check": check, "release": release}
    if len(sys.argv[1:]) != 1 or sys.argv[1] not in commands:
        print(f"usage: contracts.py {'|'.join(commands)}", file=sys.stderr)
        return 2
    return commands[sys.argv[1]]()


def generate() -> int:
    """Brings protos/google in line with its package and gen/python with protos/, touching only files that change."""
    for name in stale_copies():
        shutil.copyfile(GOOGLE_APIS / name, PROTOS / name)
    with tempfile.TemporaryDirectory() as folder:
        for name in stale_stubs(fresh := Path(folder) / "stubs"):
            (GENERATED / name).parent.mkdir(parents=True, exist_ok=True)
            if (fresh / name).exists():
                shutil.copy(fresh / name, GENERATED / name)
            else:
                (GENERATED / name).unlink()
    return 0


def check() -> int:
    """Lints, compares with the released contract, and compares what is copied and generated with new ones."""
    formatted = run("buf", "format", "--exit-code", "-d", str(PROTOS))
    lint = run("buf", "lint", str(PROTOS))
    breaking = run("buf", "breaking", str(PROTOS), "--against", str(RELEASED))
    with tempfile.TemporaryDirectory() as folder:
        stale = [*stale_copies(), *stale_stubs(Path(folder) / "stubs")]
    if stale:
        print(f"not what is copied and generated now, run `make stubs`: {', '.join(stale)}", file=sys.stderr)
    return 1 if formatted or lint or breaking or stale else 0


def release() -> int:
    """Takes the contract as it is now for the one that later changes must not break."""
    compile_image(RELEASED)
    return 0


def stale_copies() -> list[str]:
    """Names of files in protos/google that differ from those of their package."""
    copies = sorted(str(path.relative_to(PROTOS)) for path in (PROTOS / "google").rglob("*.proto"))
    _, different, missing = filecmp.cmpfiles(PROTOS, GOOGLE_APIS, copies, shallow=False)
    return sorted([*different, *missing])


def stale_stubs(folder: Path) -> list[str]:
    """Names of generated files that differ from, or are missing in, what the contracts generate now."""
    folder.mkdir()
    if write_stubs(folder):
        raise SystemExit(1)
    fresh, committed = stub_files(folder), stub_files(GENERATED)
    _, different, missing = filecmp.cmpfiles(folder, GENERATED, sorted(fresh & committed), shallow=False)
    return sorted([*different, *missing, *(fresh ^ committed)])


def stub_files(folder: Path) -> set[str]:
    return {
        str(path.relative_to(folder)) for path in folder.rglob("*.py*") if "__pycache__" not in path.parts
    }


def write_stubs(folder: Path) -> int:
    """Messages for every file; service stubs for the files that declare services."""
    plugins = [f"--plugin={name}={BIN / name}" for name in ("protoc-gen-mypy", "protoc-gen-mypy_grpc")]
    messages = [f"--python_out={folder}", f"--mypy_out=quiet:{folder}"]
    services = [f"--grpc_python_out={folder}", f"--mypy_grpc_out=quiet:{folder}"]
    with_services = [name for name in proto_files() if "\nservice " in (PROTOS / name).read_text()]
    return run_protoc(*plugins, *messages, *proto_files()) or run_protoc(*plugins, *services, *with_services)


def compile_image(target: Path) -> None:
    flags = ("--include_imports", "--include_source_info", f"--descriptor_set_out={target}")
    if run_protoc(*flags, *proto_files()):
        raise SystemExit(1)


def run_protoc(*arguments: str) -> int:
    well_known = files("grpc_tools") / "_proto"
    return int(protoc.main(["protoc", f"-I{PROTOS}", f"-I{well_known}", *arguments]))


def proto_files() -> list[str]:
    """All but Google's."""
    names = (path.relative_to(PROTOS) for path in PROTOS.rglob("*.proto"))
    return sorted(str(name) for name in names if name.parts[0] != "google")


def run(program: str, *arguments: str) -> int:
    return subprocess.run([str(BIN / program), *arguments], check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
