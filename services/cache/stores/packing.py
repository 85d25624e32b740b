"""An entry as the bytes that stand in Redis behind the stamp of its epoch."""

import struct
from collections.abc import Sequence

import msgspec

from services.cache.entry import Entry, Usage

# The scripts read the stamp and the tags, this module the rest: created, expires, cost, usage (six numbers); the value.
STAMP = struct.Struct(">QQ")
_TAGS_LENGTH = struct.Struct(">H")
_METADATA = struct.Struct(">qqqqqqqqB")


def pack(entry: Entry, tags: Sequence[str]) -> bytes:
    usage, packed_tags = entry.usage, msgspec.msgpack.encode(tags)
    metadata = _METADATA.pack(
        entry.created_ns,
        entry.expires_ns,
        entry.cost_nanos,
        usage.input_tokens,
        usage.output_tokens,
        usage.cache_read_input_tokens,
        usage.cache_write_input_tokens,
        usage.reasoning_output_tokens,
        usage.source,
    )
    return b"".join((_TAGS_LENGTH.pack(len(packed_tags)), packed_tags, metadata, entry.value))


def unpack(stamped: bytes) -> Entry:
    (tags_length,) = _TAGS_LENGTH.unpack_from(stamped, STAMP.size)
    metadata_at = STAMP.size + _TAGS_LENGTH.size + tags_length
    created_ns, expires_ns, cost_nanos, *usage = _METADATA.unpack_from(stamped, metadata_at)
    return Entry(stamped[metadata_at + _METADATA.size :], created_ns, expires_ns, Usage(*usage), cost_nanos)
