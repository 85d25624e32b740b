"""Settings read once from environment variables into frozen dataclasses; unknown ones are refused."""

import difflib
import types
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, Self, TypeVar, Union, get_args, get_origin, get_type_hints

_T = TypeVar("_T")
_BOOLEANS = {
    "true": True,
    "1": True,
    "yes": True,
    "on": True,
    "false": False,
    "0": False,
    "no": False,
    "off": False,
}


class MisconfiguredError(Exception):
    """What is wrong with what the operator has set, one problem a line."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)

    def __reduce__(self) -> tuple[type[Self], tuple[tuple[str, ...]]]:
        return type(self), (self.problems,)


class SettingsError(MisconfiguredError):
    """What is wrong with the environment; each problem names the variable and the remedy."""


class Secret:
    """A value that prints as `***`; `reveal()` is the only way to read it."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        return self._value

    def __repr__(self) -> str:
        return "***"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self._value == other._value

    def __hash__(self) -> int:
        return hash(self._value)


@dataclass(frozen=True, slots=True)
class Variable:
    """One row of the list of variables that a process accepts."""

    name: str
    type: str
    default: str
    help: str


def setting(
    default: Any = MISSING,
    about: str = "",
    *,
    minimum: float | None = None,
    maximum: float | None = None,
) -> Any:
    """A dataclass field with its help text and bounds; without a default the variable is required."""
    metadata = {"about": about, "minimum": minimum, "maximum": maximum}
    if default is MISSING:
        return field(metadata=metadata)
    return field(default=default, metadata=metadata)


def read_settings(cls: type[_T], prefix: str, environ: Mapping[str, str], *, exclusive: bool = True) -> _T:
    """`cls` from the variables `<prefix><FIELD>`.

    Types: str, int, float, bool, Path, Secret, Literal, tuple[str, ...] (comma separated), and any of them `| None`.
    A Secret `X` can be given as `X_FILE`, the path of a file that holds it. An empty variable counts as absent.
    With `exclusive`, every variable that begins with `prefix` must be known.

    :raises SettingsError: unknown, missing or malformed variables; all of them at once.
    """
    hints = get_type_hints(cls)
    problems = list(_unknown(_known_names(cls, prefix, hints), prefix, environ, exclusive=exclusive))
    values: dict[str, Any] = {}
    for entry in fields(cls):  # type: ignore[arg-type]
        name = prefix + entry.name.upper()
        try:
            text = _text(name, hints[entry.name], environ)
            if text is not None:
                values[entry.name] = _bounded(_parse(text, hints[entry.name]), entry.metadata)
            elif entry.default is MISSING and entry.default_factory is MISSING:
                problems.append(f"{name} is not set: {entry.metadata.get('about') or 'it has no default'}")
        except (ValueError, OSError) as error:
            problems.append(f"{name}: {error}")
    if problems:
        raise SettingsError(problems)
    return cls(**values)


def describe(cls: type, prefix: str) -> list[Variable]:
    """Every variable that `read_settings(cls, prefix, …)` accepts, in order."""
    hints = get_type_hints(cls)
    rows: list[Variable] = []
    for entry in fields(cls):
        hint, about = hints[entry.name], str(entry.metadata.get("about", ""))
        name, default = prefix + entry.name.upper(), _default_text(entry.default)
        rows.append(Variable(name, _type_name(hint), default, about))
        if _inner(hint) is Secret:
            rows.append(Variable(name + "_FILE", "path", "", f"a file that holds {name}"))
    return rows


def _known_names(cls: type, prefix: str, hints: Mapping[str, Any]) -> list[str]:
    names = [prefix + entry.name.upper() for entry in fields(cls)]
    return names + [
        prefix + entry.name.upper() + "_FILE" for entry in fields(cls) if _inner(hints[entry.name]) is Secret
    ]


def _unknown(known: list[str], prefix: str, environ: Mapping[str, str], *, exclusive: bool) -> Iterator[str]:
    for name in sorted(environ):
        if not name.startswith(prefix) or name in known:
            continue
        # A prefix shared with others refuses only what is plainly a misspelling of a known name.
        nearest = difflib.get_close_matches(name, known, n=1, cutoff=0.0 if exclusive else 0.9)
        if nearest:
            yield f"{name} is not a setting; did you mean {nearest[0]}?"
        elif exclusive:
            yield f"{name} is not a setting"


def _text(name: str, hint: Any, environ: Mapping[str, str]) -> str | None:
    text, file = environ.get(name) or None, environ.get(name + "_FILE") or None
    if _inner(hint) is not Secret or file is None:
        return text
    if text is not None:
        raise ValueError(f"set either it or {name}_FILE, not both")
    return Path(file).read_text(encoding="utf-8").strip()


def _inner(hint: Any) -> Any:
    """T of `T | None`."""
    if get_origin(hint) in (Union, types.UnionType):
        return next(option for option in get_args(hint) if option is not type(None))
    return hint


def _parse(text: str, hint: Any) -> Any:
    kind = _inner(hint)
    if get_origin(kind) is Literal:
        return _one_of(text, get_args(kind))
    if get_origin(kind) is tuple:
        return tuple(part.strip() for part in text.split(",") if part.strip())
    if kind is bool:
        return _BOOLEANS[_one_of(text.lower(), tuple(_BOOLEANS))]
    if kind in (int, float):
        return _number(text, kind)
    return kind(text)


def _one_of(text: str, choices: Sequence[str]) -> str:
    if text not in choices:
        raise ValueError(f"{text!r} is not one of {', '.join(choices)}")
    return text


def _number(text: str, kind: type) -> Any:
    try:
        return kind(text)
    except ValueError:
        raise ValueError(f"{text!r} is not {'a whole number' if kind is int else 'a number'}") from None


def _bounded(value: Any, metadata: Mapping[str, Any]) -> Any:
    minimum, maximum = metadata.get("minimum"), metadata.get("maximum")
    if minimum is not None and not value >= minimum:
        raise ValueError(f"{value} is below {minimum}")
    if maximum is not None and not value <= maximum:
        raise ValueError(f"{value} is above {maximum}")
    return value


def _type_name(hint: Any) -> str:
    kind = _inner(hint)
    if get_origin(kind) is Literal:
        return " | ".join(get_args(kind))
    if get_origin(kind) is tuple:
        return "list"
    return str(kind.__name__).lower()


def _default_text(default: Any) -> str:
    if default is MISSING:
        return "(required)"
    if default is None:
        return ""
    if isinstance(default, bool):
        return str(default).lower()
    return ",".join(default) if isinstance(default, tuple) else str(default)
