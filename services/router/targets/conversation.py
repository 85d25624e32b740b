"""What is wrong with a request whoever might serve it, where the contract's rules can't say it. Pure."""

from collections.abc import Iterator, Sequence

from headgate.router.v1 import completion_pb2
from services._runtime.errors import FieldViolation, InvalidFieldError
from services.router.targets.media_address import Address, parse_address
from services.router.targets.options import check_options

_ROLE_SYSTEM_OR_USER = (1, 2)
_ROLE_ASSISTANT = 3
_ROLE_TOOL = 4
_ROLES_OF = {
    "tool_call": (_ROLE_ASSISTANT,),
    "reasoning": (_ROLE_ASSISTANT,),
    "tool_result": (_ROLE_TOOL,),
    "blob": _ROLE_SYSTEM_OR_USER,
    "uri": _ROLE_SYSTEM_OR_USER,
}
"""Where a part may stand; what is not here may stand anywhere."""


def check_conversation(request: completion_pb2.CompletionRequest) -> None:
    """Parts in the wrong role, references to nothing, options that nobody could take or account for.

    :raises InvalidFieldError: with every such field.
    """
    violations = [*_misplaced_parts(request), *_dangling_references(request), *check_options(request)]
    if violations:
        raise _invalid(violations)


def _misplaced_parts(request: completion_pb2.CompletionRequest) -> Iterator[FieldViolation]:
    for index, message in enumerate(request.messages):
        for position, part in enumerate(message.parts):
            kind = part.WhichOneof("content") or ""
            if message.role not in _ROLES_OF.get(kind, (message.role,)):
                yield FieldViolation(
                    f"messages[{index}].parts[{position}].{kind}", "does not belong in a message of this role"
                )
            elif message.role == _ROLE_TOOL and kind != "tool_result":
                yield FieldViolation(
                    f"messages[{index}].parts[{position}].{kind}",
                    "a ROLE_TOOL message holds tool_result only",
                )
            if part.annotations and (kind != "text" or message.role != _ROLE_ASSISTANT):
                field = f"messages[{index}].parts[{position}].annotations"
                yield FieldViolation(field, "only texts of ROLE_ASSISTANT messages have sources")


def _dangling_references(request: completion_pb2.CompletionRequest) -> Iterator[FieldViolation]:
    called: set[str] = set()
    for index, message in enumerate(request.messages):
        for position, part in enumerate(message.parts):
            if part.HasField("tool_call"):
                called.add(part.tool_call.id)
            elif part.HasField("tool_result") and part.tool_result.tool_call_id not in called:
                yield FieldViolation(
                    f"messages[{index}].parts[{position}].tool_result.tool_call_id",
                    "no earlier message has a tool_call of this id",
                )
    names = [tool.name for tool in request.tools]
    if len(set(names)) != len(names):
        yield FieldViolation("tools", "tool names must be unique")
    if request.tool_choice.name and request.tool_choice.name not in names:
        yield FieldViolation("tool_choice.name", "the request declares no tool of this name in `tools`")
    elif request.HasField("tool_choice") and not names:
        yield FieldViolation("tool_choice", "the request declares no tools")


def media_of(request: completion_pb2.CompletionRequest) -> dict[str, Address]:
    """By field, what a provider would be asked to fetch.

    :raises InvalidFieldError: with every field that is no address.
    """
    media: dict[str, Address] = {}
    violations: list[FieldViolation] = []
    for index, message in enumerate(request.messages):
        for position, part in enumerate(message.parts):
            if part.HasField("uri"):
                field = f"messages[{index}].parts[{position}].uri.uri"
                try:
                    media[field] = parse_address(part.uri.uri)
                except ValueError as error:
                    violations.append(FieldViolation(field, str(error)))
    if violations:
        raise _invalid(violations)
    return media


def _invalid(violations: Sequence[FieldViolation]) -> InvalidFieldError:
    first = violations[0]
    return InvalidFieldError(f"{first.field}: {first.description}", field_violations=violations)
