"""An answer as it is kept, and as it is handed in."""

from msgspec import Struct


class Usage(Struct, frozen=True, gc=False):
    """Tokens that producing the answer used; subsets are included in their totals. `source` is the contract's number."""

    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_input_tokens: int = 0
    cache_write_input_tokens: int = 0
    reasoning_output_tokens: int = 0
    source: int = 0

    @property
    def total_tokens(self) -> int:
        return self.input_tokens + self.output_tokens


class Entry(Struct, frozen=True, gc=False):
    """Times are nanoseconds since 1970; from `expires_ns` on the entry is no more."""

    value: bytes
    created_ns: int
    expires_ns: int
    usage: Usage
    cost_nanos: int


class Answer(Struct, frozen=True, gc=False):
    """What a caller wants kept; without `ttl_ns`, for the default time."""

    organization_id: str
    key: bytes
    value: bytes
    ttl_ns: int | None = None
    tags: tuple[str, ...] = ()
    usage: Usage = Usage()
    cost_nanos: int = 0
