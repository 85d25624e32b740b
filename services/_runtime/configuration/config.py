"""One section of the installation's YAML file as a pydantic model; errors name file, line, field and remedy."""

import difflib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Self, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from services._runtime.configuration.environment import Secret
from services._runtime.configuration.sections import ConfigError, read_text, section_node

__all__ = ["ConfigError", "Credential", "Section", "read_section"]

_M = TypeVar("_M", bound=BaseModel)


class Section(BaseModel):
    """What every model of the file extends: unknown keys are refused, values are frozen."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Credential(Section):
    """Where a secret is found, `{env: NAME}` or `{file: path}`; never the secret."""

    env: str | None = None
    file: Path | None = None

    @model_validator(mode="before")
    @classmethod
    def _is_named(cls, value: Any) -> Any:
        if isinstance(value, str):
            raise ValueError("a credential is named, never written: use {env: NAME} or {file: path}")  # noqa: TRY004
        return value

    @model_validator(mode="after")
    def _has_one_source(self) -> Self:
        if (self.env is None) == (self.file is None):
            raise ValueError("name exactly one source: {env: NAME} or {file: path}")
        return self

    def resolve(self, environ: Mapping[str, str]) -> Secret:
        """:raises ConfigError: the variable is not set, or the file can't be read."""
        if self.file is not None:
            return Secret(read_text(self.file).strip())
        value = environ.get(self.env or "")
        if not value:
            raise ConfigError([f"{self.env} is not set; a credential of the configuration names it"])
        return Secret(value)


def read_section(path: Path | None, section: str, model: type[_M]) -> _M:
    """Section `section` of the file; the model's defaults when there is no file or no such section.

    :raises ConfigError: the file can't be read or parsed, or the section breaks the model.
    """
    if path is None:
        return model.model_validate({})
    node = section_node(path, section)
    value = {} if node is None else yaml.constructor.SafeConstructor().construct_document(node)
    try:
        return model.model_validate({} if value is None else value)
    except ValidationError as error:
        raise ConfigError(list(_problems(path, section, node, model, error))) from None


def _problems(
    path: Path, section: str, node: yaml.Node | None, model: type[BaseModel], error: ValidationError
) -> Iterator[str]:
    for item in error.errors(include_url=False, include_input=False):
        line, fields = _locate(node, item["loc"])
        remedy = _remedy(item, model) if item["type"] == "extra_forbidden" else item["msg"]
        yield f"{path}:{line}: {'.'.join([section, *fields])}: {remedy.removeprefix('Value error, ')}"


def _locate(node: yaml.Node | None, location: Sequence[str | int]) -> tuple[int, list[str]]:
    """The line of the deepest node on the way, and the way without pydantic's own names (union tags)."""
    line = 1 if node is None else node.start_mark.line + 1
    fields: list[str] = []
    for index, step in enumerate(location):
        found = _child(node, step)
        if found is not None:
            node, line = found
            fields.append(str(step))
        elif index == len(location) - 1:
            fields.append(str(step))
    return line, fields


def _child(node: yaml.Node | None, step: str | int) -> tuple[yaml.Node, int] | None:
    if isinstance(node, yaml.SequenceNode) and isinstance(step, int):
        return node.value[step], node.value[step].start_mark.line + 1
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if key.value == str(step):
                return value, key.start_mark.line + 1
    return None


def _remedy(item: Any, model: type[BaseModel]) -> str:
    name = str(item["loc"][-1])
    known = sorted({field for each in _models(model, set()) for field in each.model_fields})
    near = difflib.get_close_matches(name, known, n=1)
    return f"unknown key; did you mean `{near[0]}`?" if near else "unknown key"


def _models(model: type[BaseModel], seen: set[type[BaseModel]]) -> set[type[BaseModel]]:
    seen.add(model)
    for info in model.model_fields.values():
        for found in _models_in(info.annotation):
            if found not in seen:
                _models(found, seen)
    return seen


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in getattr(annotation, "__args__", ()):
        yield from _models_in(argument)
