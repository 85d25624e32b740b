"""From the requested model to the targets that may serve the request, in order. Pure."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from headgate.router.v1 import completion_pb2
from services._runtime.errors import FieldViolation
from services.router.errors import (
    ContextLengthExceededError,
    ModelNotFoundError,
    UnsupportedByTargetError,
)
from services.router.targets.catalog import Catalog, Target
from services.router.targets.conversation import check_conversation, media_of
from services.router.targets.estimate import Size, measure
from services.router.targets.media_address import Address
from services.router.targets.media_sources import why_closed
from services.router.targets.options import closed_options
from services.router.targets.provider import Unsupported

_NAMES_SHOWN = 12
# More than billing takes of one completion could not be booked.
MOST_ATTEMPTS = 64


@dataclass(frozen=True, slots=True)
class Plan:
    """What will be tried: at least one target, in order; and how large the request is.

    `most_input_tokens` is what any of the targets may count at the most, and None when one of them may count any number: then
    nothing that is held or reserved covers the request. `input_tokens` is an estimate, and never more than that.
    """

    targets: Sequence[Target]
    input_tokens: int
    most_input_tokens: int | None


def normalise(request: completion_pb2.CompletionRequest) -> completion_pb2.CompletionRequest:
    """The same request with its conversation in `messages`: a `prompt` becomes one user message."""
    if not request.prompt:
        return request
    normalised = completion_pb2.CompletionRequest()
    normalised.CopyFrom(request)
    normalised.prompt = ""
    normalised.messages.add(role="ROLE_USER").parts.add(text=request.prompt)
    return normalised


def make_plan(request: completion_pb2.CompletionRequest, catalog: Catalog) -> Plan:
    """:raises GatewayError: the conversation is inconsistent, or no target can serve the request; it says why."""
    check_conversation(request)
    candidates = _named_targets(request, catalog)
    able = _able(request, candidates)
    size = measure(request)
    targets = _fitting(request, able, size.about())[:MOST_ATTEMPTS]
    about, most = size.about(), _most_input_tokens(size, targets)
    return Plan(targets, about if most is None else min(about, most), most)


def _most_input_tokens(size: Size, targets: Sequence[Target]) -> int | None:
    most = [size.most(target.most_tokens_per_image, target.context_window) for target in targets]
    known = [each for each in most if each is not None]
    return max(known) if len(known) == len(most) else None


def _named_targets(request: completion_pb2.CompletionRequest, catalog: Catalog) -> list[Target]:
    targets: dict[str, Target] = {}
    for field, name in (
        ("model", request.model),
        *((f"fallback_models[{i}]", n) for i, n in enumerate(request.fallback_models)),
    ):
        if name not in catalog.models:
            raise ModelNotFoundError(
                f"no model or alias `{name}`; known are {_some(catalog.models)}",
                field_violations=[FieldViolation(field, "no such model or alias; ListModels has them all")],
            )
        targets.update((target.target_id, target) for target in catalog.models[name])
    return list(targets.values())


def _able(request: completion_pb2.CompletionRequest, candidates: Sequence[Target]) -> list[Target]:
    needs = required_capabilities(request)
    # An attachment is a need: where there is none, nothing is looked through.
    media = media_of(request) if needs else {}
    obstacles = {target.target_id: [*_obstacles(request, target, needs, media)] for target in candidates}
    able = [target for target in candidates if not obstacles[target.target_id]]
    if able:
        return able
    violations = {
        (found.field, f"{target_id}: {found.reason}"): None
        for target_id, all_found in obstacles.items()
        for found in all_found
    }
    field, reason = next(iter(violations))
    raise UnsupportedByTargetError(
        f"no target of `{request.model}` can serve the request; {field}: {reason}",
        field_violations=[FieldViolation(field, reason) for field, reason in violations],
    )


def _obstacles(
    request: completion_pb2.CompletionRequest,
    target: Target,
    needs: Sequence[tuple[str, str]],
    media: Mapping[str, Address],
) -> Iterator[Unsupported]:
    yield from target.provider.unsupported(request)
    yield from closed_options(request, target.allowed_provider_options)
    for field, address in media.items():
        if (reason := why_closed(address, target.media_sources)) is not None:
            yield Unsupported(field, reason)
    if target.capabilities is not None:
        for field, capability in needs:
            if capability not in target.capabilities:
                yield Unsupported(
                    field, f"the configuration says that the model has no capability `{capability}`"
                )


def required_capabilities(request: completion_pb2.CompletionRequest) -> list[tuple[str, str]]:
    """Pairs of a field and the capability that it needs."""
    needs: list[tuple[str, str]] = []
    if request.tools:
        needs.append(("tools", "tools"))
    kind = request.response_format.WhichOneof("format")
    if kind in ("json", "json_schema", "grammar"):
        needs.append((f"response_format.{kind}", kind))
    if request.HasField("reasoning") and request.reasoning.effort != "none":
        needs.append(("reasoning", "reasoning"))
    if request.HasField("top_logprobs"):
        needs.append(("top_logprobs", "logprobs"))
    if request.choice_count > 1:
        needs.append(("choice_count", "multiple_choices"))
    for index, message in enumerate(request.messages):
        for position, part in enumerate(message.parts):
            attached = part.WhichOneof("content")
            if attached in ("blob", "uri"):
                media_type = part.blob.media_type if attached == "blob" else part.uri.media_type
                needs.append((f"messages[{index}].parts[{position}].{attached}", _sense(media_type)))
    return needs


def _sense(media_type: str) -> str:
    if not media_type or media_type.startswith("image/"):
        return "vision"
    return "audio" if media_type.startswith("audio/") else "documents"


def _fitting(
    request: completion_pb2.CompletionRequest, able: Sequence[Target], input_tokens: int
) -> list[Target]:
    wanted = request.max_output_tokens
    fitting = [
        target
        for target in able
        if (target.context_window is None or input_tokens + wanted <= target.context_window)
        and (target.max_output_tokens is None or wanted <= target.max_output_tokens)
    ]
    if fitting:
        return fitting
    answer = max((target.max_output_tokens or wanted for target in able), default=wanted)
    if wanted > answer:
        raise ContextLengthExceededError(
            f"max_output_tokens is {wanted}; no target of `{request.model}` generates more than {answer}",
            field_violations=[FieldViolation("max_output_tokens", f"at most {answer}")],
        )
    window = max(target.context_window or 0 for target in able)
    raise ContextLengthExceededError(
        f"about {input_tokens} input and {wanted} output tokens do not fit the {window} tokens of `{request.model}`",
        field_violations=[
            FieldViolation("messages", f"shorten the conversation to about {window - wanted} tokens")
        ],
    )


def _some(names: Iterable[str]) -> str:
    ordered = sorted(names)
    more = len(ordered) - _NAMES_SHOWN
    return ", ".join(ordered[:_NAMES_SHOWN]) + (f" and {more} more" if more > 0 else "")
