"""Reads JSON that is not quite what its protocol says: what can be read of it counts, the rest is as if it had not come.

For texts that the strict decoder refused; it is slower, and asked by nobody else.
"""

import json
from collections.abc import Callable
from functools import cache
from typing import Any, TypeVar

import msgspec
from msgspec import UNSET, Struct, inspect

from services.router.providers.halves import whole_characters

T = TypeVar("T", bound=Struct)
Prepare = Callable[[dict[str, Any]], None]
"""Brings an object, in place, nearer to what the protocol says."""
_BLANK = b" \t\r\n\x00"
_STREAMED = frozenset(
    {"content", "reasoning_content", "reasoning", "refusal", "arguments", "text", "thinking", "partial_json"}
)
"""The fields whose texts go on in the next answer."""


def read(text: bytes, kind: type[T], prepare: Prepare) -> list[T]:
    """The objects of a text: none of one that is blank, each of a list.

    Texts may hold lone halves of characters, as their other halves may come in another text: see `Halves`.

    :raises DecodeError: it is no JSON at all
    :raises RecursionError: it is nested without end
    """
    text = text.strip(_BLANK)
    value = _decoded(text) if text else None
    objects = [each for each in (value if isinstance(value, list) else [value]) if isinstance(each, dict)]
    fitted: list[T] = []
    for each in objects:
        prepare(each)
        fitted.append(_fitted(each, _fields_of(kind), kind))
    return fitted


def _decoded(text: bytes) -> Any:
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeError):
        pass
    try:
        # It takes lone halves of characters, bytes that are none, line breaks within texts, and NaN.
        return json.loads(text.decode("utf-8", "surrogateescape"), strict=False)
    except ValueError as error:
        raise msgspec.DecodeError(str(error)) from None


@cache
def _fields_of(kind: type[Struct]) -> tuple[inspect.Field, ...]:
    (described,) = [each for each in inspect.multi_type_info([kind]) if isinstance(each, inspect.StructType)]
    return described.fields


def _fitted(value: dict[str, Any], fields: tuple[inspect.Field, ...], kind: type[T]) -> T:
    """:raises ValidationError: a field that must be there is not, or is of another kind"""
    taken: dict[str, Any] = {}
    for field in fields:
        if field.encode_name not in value:
            continue
        fitted = _fit(value[field.encode_name], field.type)
        if isinstance(fitted, str) and field.name not in _STREAMED:
            fitted = whole_characters(fitted)
        if fitted is not UNSET:
            taken[field.name] = fitted
    try:
        return kind(**taken)
    except TypeError as error:
        raise msgspec.ValidationError(str(error)) from None


def _fit(value: Any, wanted: inspect.Type) -> Any:
    """The value as the type has it; UNSET where it can't be."""
    fit = _FITS.get(type(wanted))
    return UNSET if fit is None else fit(value, wanted)


def _fit_union(value: Any, wanted: inspect.UnionType) -> Any:
    fits = (_fit(value, each) for each in wanted.types)
    return next((fit for fit in fits if fit is not UNSET), UNSET)


def _fit_list(value: Any, wanted: inspect.ListType) -> Any:
    items = value if isinstance(value, list) else [value] if isinstance(value, dict) else []
    return [fit for each in items if (fit := _fit(each, wanted.item_type)) is not UNSET]


def _fit_struct(value: Any, wanted: inspect.StructType) -> Any:
    if not isinstance(value, dict):
        return UNSET
    try:
        return _fitted(value, wanted.fields, wanted.cls)
    except msgspec.ValidationError:
        return UNSET


def _fit_count(value: Any, wanted: inspect.IntType) -> Any:
    """Also `10.0` and `"10"`."""
    try:
        number = msgspec.convert(value, int, strict=False)
    except msgspec.ValidationError:
        return UNSET
    most = wanted.le if wanted.lt is None else wanted.lt - 1
    fits = (wanted.ge is None or number >= wanted.ge) and (most is None or number <= most)
    return number if fits else UNSET


def _fit_float(value: Any, _: inspect.Type) -> Any:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else UNSET


def _in_whole_characters(value: Any) -> Any:
    if isinstance(value, str):
        return whole_characters(value)
    if isinstance(value, list):
        return [_in_whole_characters(each) for each in value]
    if isinstance(value, dict):
        return {whole_characters(name): _in_whole_characters(each) for name, each in value.items()}
    return value


_FITS: dict[type[inspect.Type], Callable[[Any, Any], Any]] = {
    inspect.UnionType: _fit_union,
    inspect.ListType: _fit_list,
    inspect.StructType: _fit_struct,
    inspect.IntType: _fit_count,
    inspect.FloatType: _fit_float,
    inspect.StrType: lambda value, _: value if isinstance(value, str) else UNSET,
    inspect.NoneType: lambda value, _: None if value is None else UNSET,
    inspect.AnyType: lambda value, _: _in_whole_characters(value),
    inspect.RawType: lambda value, _: msgspec.Raw(_encoded(value)),
}


def _encoded(value: Any) -> bytes:
    return whole_characters(json.dumps(value, ensure_ascii=False, separators=(",", ":"))).encode()


def json_text(value: Any) -> str:
    """A value that should have been a text, as JSON has it."""
    return _encoded(value).decode()
