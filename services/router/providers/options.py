"""`provider_options`: fields that Headgate does not know, for the top level of a request body; routing let them through."""

from typing import Any

from google.protobuf import struct_pb2

from headgate.router.v1 import completion_pb2


def of(request: completion_pb2.CompletionRequest) -> dict[str, Any]:
    if not request.HasField("provider_options"):
        return {}
    return {name: _plain(value) for name, value in request.provider_options.fields.items()}


def _plain(value: struct_pb2.Value) -> Any:
    """A Struct knows only doubles; a whole number goes out as one, as providers refuse `5.0` where they want `5`."""
    match value.WhichOneof("kind"):
        case "number_value":
            number = value.number_value
            return int(number) if number.is_integer() else number
        case "string_value":
            return value.string_value
        case "bool_value":
            return value.bool_value
        case "struct_value":
            return {name: _plain(each) for name, each in value.struct_value.fields.items()}
        case "list_value":
            return [_plain(each) for each in value.list_value.values]
        case _:
            return None
