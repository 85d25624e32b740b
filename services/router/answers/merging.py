"""The same answer in fewer events: neighbouring text of one choice together. Pure."""

from collections.abc import Sequence

from headgate.router.v1 import completion_pb2

LARGEST_TEXT = 64 * 1024


def merged(
    events: Sequence[completion_pb2.CompletionEvent], largest_text: int = LARGEST_TEXT
) -> list[completion_pb2.CompletionEvent]:
    """In order, texts joined up to about `largest_text` characters.

    An event that is joined with none is passed on as the same object; those that are joined stay as they were.
    """
    if len(events) < 2:  # noqa: PLR2004 - nearly always, while the client keeps up
        return [*events]
    result: list[completion_pb2.CompletionEvent] = []
    texts: list[str] = []
    size = 0
    for event in events:
        if texts and size < largest_text and _continues(result[-1], event):
            texts.append(event.delta.text)
            size += len(texts[-1])
            continue
        _join(result, texts)
        result.append(event)
        texts = [event.delta.text] if _is_plain_text(event) else []
        size = len(event.delta.text)
    _join(result, texts)
    return result


def _join(result: list[completion_pb2.CompletionEvent], texts: list[str]) -> None:
    if len(texts) > 1:
        delta = completion_pb2.Delta(choice_index=result[-1].delta.choice_index, text="".join(texts))
        result[-1] = completion_pb2.CompletionEvent(delta=delta)


def _continues(last: completion_pb2.CompletionEvent, event: completion_pb2.CompletionEvent) -> bool:
    return _is_plain_text(event) and last.delta.choice_index == event.delta.choice_index


def _is_plain_text(event: completion_pb2.CompletionEvent) -> bool:
    return event.delta.WhichOneof("content") == "text" and not event.delta.logprobs
