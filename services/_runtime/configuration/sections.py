"""The installation's YAML file down to the nodes of one section, for who needs no pydantic, which has 8 MB."""

import difflib
from collections.abc import Iterator
from pathlib import Path

import yaml

from services._runtime.configuration.environment import MisconfiguredError


class ConfigError(MisconfiguredError):
    """What is wrong with the file; each problem reads `file:line: field: problem`."""


def section_node(path: Path, section: str) -> yaml.Node | None:
    """None when the file has no such section.

    :raises ConfigError: the file can't be read or parsed, or has a section of nearly this name.
    """
    root = _compose(path)
    entries = {} if root is None else {key.value: (key, value) for key, value in root.value}
    if section in entries:
        node: yaml.Node = entries[section][1]
        return node
    if near := difflib.get_close_matches(section, entries, n=1, cutoff=0.75):
        line = entries[near[0]][0].start_mark.line + 1
        raise ConfigError([f"{path}:{line}: {near[0]}: no such section; did you mean `{section}:`?"])
    return None


def has_section(path: Path | None, section: str) -> bool:
    """:raises ConfigError: as `section_node`."""
    return path is not None and section_node(path, section) is not None


def refuse_keys(path: Path | None, section: str) -> None:
    """For a section that has no keys in this version.

    :raises ConfigError: it has some; each is named with its line.
    """
    node = None if path is None else section_node(path, section)
    if isinstance(node, yaml.MappingNode) and node.value:
        lines = ((key.start_mark.line + 1, key.value) for key, _ in node.value)
        raise ConfigError([f"{path}:{line}: {section}.{name}: unknown key" for line, name in lines])


def read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError([f"{path}: {error}"]) from None


def _compose(path: Path) -> yaml.MappingNode | None:
    try:
        root = yaml.compose(read_text(path), Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise ConfigError([f"{path}:{line}: {error.problem}"]) from None
    if root is None:
        return None
    if not isinstance(root, yaml.MappingNode):
        raise ConfigError([f"{path}:1: the file is a mapping of sections, such as `router:`"])
    if problems := list(_duplicates(path, root)):
        raise ConfigError(problems)
    return root


def _duplicates(path: Path, node: yaml.Node) -> Iterator[str]:
    seen: dict[str, int] = {}
    for child in node.value if isinstance(node, yaml.CollectionNode) else ():
        key, value = child if isinstance(child, tuple) else (None, child)
        if key is not None:
            line = key.start_mark.line + 1
            if key.value in seen:
                yield f"{path}:{line}: {key.value}: stands already on line {seen[key.value]}"
            seen[key.value] = line
        yield from _duplicates(path, value)
