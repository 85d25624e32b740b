"""compose.yaml is what the compose specification allows."""

import copy
import json
from importlib.resources import files
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from tests.unit.deploy.compose_file import compose


@pytest.fixture(scope="module")
def specification() -> Draft202012Validator:
    """The compose specification's schema, as check-jsonschema carries it."""
    text = files("check_jsonschema").joinpath("builtin_schemas/vendor/compose-spec.json").read_text()
    return Draft202012Validator(json.loads(text))


def test_the_file_is_valid(specification: Draft202012Validator) -> None:
    assert [f"{error.json_path}: {error.message}" for error in specification.iter_errors(compose())] == []


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("services", "router", "comand"), ["python"]),
        (("services", "router", "deploy", "replicas"), [2]),
        (("services", "cache", "depends_on", "redis-cache", "condition"), "service_is_fine"),
        (("services", "billing", "healthcheck", "interval"), 5),
        (("secrets", "internal_token", "fil"), "x"),
        (("service",), {}),
    ],
)
def test_the_schema_sees_a_mistake(
    specification: Draft202012Validator, path: tuple[str, ...], value: Any
) -> None:
    mistaken = copy.deepcopy(compose())
    place: Any = mistaken
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    assert not specification.is_valid(mistaken)
