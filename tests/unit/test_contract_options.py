"""Every contract file says what it is called in each language, so that stubs are made without further settings."""

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path, PurePath
from tempfile import TemporaryDirectory

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet

from scripts import contracts


@cache
def files() -> Mapping[str, FileDescriptorProto]:
    with TemporaryDirectory() as folder:
        contracts.compile_image(image := Path(folder) / "contracts.binpb")
        every = FileDescriptorSet.FromString(image.read_bytes()).file
    return {file.name: file for file in every}


def names(folder: str) -> list[str]:
    return [name for name in contracts.proto_files() if name.startswith(f"{folder}/")]


def pascal(text: str) -> str:
    return "".join(word.capitalize() for word in text.split("_"))


def go_package(file: FileDescriptorProto) -> str:
    """Below one path, which has no dot: Go does not look for it anywhere else. Named as `router/v1` is: routerv1."""
    *_, before, last = ("", *file.package.split("."))
    alias = before + last if re.fullmatch(r"v\d+", last) else last
    return f"headgate/gen/go/{file.package.replace('.', '/')};{alias}"


@pytest.mark.parametrize("name", names("headgate"))
def test_a_file_has_its_name_in_every_language(name: str) -> None:
    file = files()[name]
    parts = [pascal(part) for part in file.package.split(".")]
    assert {option.name: value for option, value in file.options.ListFields()} == {
        "csharp_namespace": ".".join(parts),
        "go_package": go_package(file),
        "java_multiple_files": True,
        "java_outer_classname": pascal(PurePath(name).stem) + "Proto",
        "java_package": f"com.{file.package}",
        "objc_class_prefix": f"HG{parts[1]}",
        "php_metadata_namespace": "\\".join([*parts, "GPBMetadata"]),
        "php_namespace": "\\".join(parts),
        "ruby_package": "::".join(parts),
    }


@pytest.mark.parametrize(
    ("name", "java_prefix"),
    [(name, "io.envoyproxy") for name in names("envoy")] + [(name, "build") for name in names("buf")],
)
def test_a_trimmed_copy_is_in_our_go_module_and_under_its_owners_java_package(
    name: str, java_prefix: str
) -> None:
    file = files()[name]
    assert {option.name: value for option, value in file.options.ListFields()} == {
        "go_package": go_package(file),
        "java_multiple_files": True,
        "java_outer_classname": pascal(PurePath(name).stem) + "Proto",
        "java_package": f"{java_prefix}.{file.package}",
    }


def test_no_file_is_left_out() -> None:
    assert sorted(names("headgate") + names("envoy") + names("buf")) == contracts.proto_files()


def test_googles_files_are_those_of_the_package_that_has_their_stubs() -> None:
    assert (contracts.PROTOS / "google/rpc/error_details.proto").exists()
    assert contracts.stale_copies() == []
