"""The contracts with the compiler that everybody has: `protoc -I protos`, and nothing else on its path."""

import subprocess
import sys
from pathlib import Path

import pytest

from scripts import contracts
from tests.support.examples import Example, clone, commands
from tests.support.programs import require_binary

# Where a language puts the request of completions, and how it is called there.
NAMED = {
    "cpp": ("headgate/router/v1/completion.pb.h", "class CompletionRequest "),
    "csharp": ("Headgate/Router/V1/Completion.cs", "namespace Headgate.Router.V1 {"),
    "java": ("com/headgate/router/v1/CompletionRequest.java", "package com.headgate.router.v1;"),
    "kotlin": ("com/headgate/router/v1/CompletionRequestKt.kt", "package com.headgate.router.v1"),
    "objc": ("headgate/router/v1/Completion.pbobjc.h", "@interface HGRouterCompletionRequest "),
    "python": ("headgate/router/v1/completion_pb2.py", "headgate.router.v1.completion_pb2"),
    "ruby": ("headgate/router/v1/completion_pb.rb", "module Headgate\n  module Router\n    module V1"),
}


def protoc(*arguments: str) -> None:
    command = [require_binary("protoc"), f"-I{contracts.PROTOS}", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr


def test_every_file_compiles_and_googles_too(tmp_path: Path) -> None:
    everything = [str(path) for path in contracts.PROTOS.rglob("*.proto")]
    assert len(everything) > len(contracts.proto_files())
    protoc(f"--descriptor_set_out={tmp_path / 'image.binpb'}", *everything)
    assert (tmp_path / "image.binpb").stat().st_size > 0


@pytest.mark.parametrize("language", list(NAMED))
def test_it_generates_under_the_names_of_the_language(language: str, tmp_path: Path) -> None:
    # By default all files of C# go into one folder, where names of different packages meet.
    folders = ["--csharp_opt=base_namespace="] if language == "csharp" else []
    protoc(f"--{language}_out={tmp_path}", *folders, *contracts.proto_files())
    file, words = NAMED[language]
    assert words in (tmp_path / file).read_text()


def test_pythons_messages_are_imported(tmp_path: Path) -> None:
    protoc(f"--python_out={tmp_path}", *contracts.proto_files())
    modules = [name.removesuffix(".proto").replace("/", ".") + "_pb2" for name in contracts.proto_files()]
    program = "\n".join(
        [f"import sys; sys.path.insert(0, {str(tmp_path)!r})", *(f"import {m}" for m in modules)]
    )
    done = subprocess.run(
        [sys.executable, "-I", "-W", "ignore", "-c", program],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.timeout(600)
def test_gos_packages_compile_as_one_module(tmp_path: Path) -> None:
    require_binary("go")
    example = Example("go", clone(tmp_path))
    outputs = "--go_out=. --go_opt=module=headgate --go-grpc_out=. --go-grpc_opt=module=headgate"
    generate = f"{require_binary('protoc')} -I ../../protos {outputs} {' '.join(contracts.proto_files())}"
    example.builds(["go install tool", generate, "go vet ./gen/..."])
    packages = {str(path.parent.relative_to(example.folder)) for path in example.folder.rglob("*.pb.go")}
    assert packages == {f"gen/go/{Path(name).parent}" for name in contracts.proto_files()}


@pytest.mark.timeout(600)
def test_bufs_template_serves_a_go_module_of_another_name(tmp_path: Path) -> None:
    require_binary("go")
    example = Example("go", clone(tmp_path))
    template, module = example.clone / "protos/buf.gen.yaml", example.folder / "go.mod"
    template.write_text(template.read_text().replace("# managed:", "managed:"))
    module.write_text(module.read_text().replace("module headgate\n", "module example.com/app\n"))
    (generate,) = [line for line in commands("go") if "buf generate" in line]
    example.builds(["go install tool", generate, "go vet ./gen/..."])
    assert (
        '"example.com/app/gen/go/headgate/chat/v1"'
        in (example.folder / "gen/go/headgate/router/v1/completion.pb.go").read_text()
    )
