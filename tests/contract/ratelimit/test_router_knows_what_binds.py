"""The router decides without the rate limiter which limits bind a request: by the same rule."""

from google.protobuf.duration_pb2 import Duration
from hypothesis import given, settings
from hypothesis import strategies as st

from headgate.common.v1.caller_pb2 import Caller
from headgate.ratelimit.v1 import limit_pb2
from services.ratelimit.binding import LimitTable
from services.ratelimit.translation import to_caller, to_limit
from services.router.accounts.limit_rules import binds

WORDS = st.sampled_from(["", "a", "b"])
LABELS = st.dictionaries(st.sampled_from(["x", "y"]), WORDS, max_size=2)
CALLERS = st.builds(Caller, organization_id=WORDS, user_id=WORDS, key_id=WORDS)
SELECTORS = st.builds(
    limit_pb2.Selector, organization_id=WORDS, user_id=WORDS, key_id=WORDS, model=WORDS, labels=LABELS
)


@settings(max_examples=500)
@given(selectors=st.lists(SELECTORS, max_size=4), caller=CALLERS, model=WORDS, labels=LABELS)
def test_both_say_the_same_of_every_request(
    selectors: list[limit_pb2.Selector], caller: Caller, model: str, labels: dict[str, str]
) -> None:
    limits = [
        limit_pb2.Limit(
            limit_id=f"l{index}",
            selector=selector,
            metric=limit_pb2.METRIC_REQUESTS,
            token_bucket=limit_pb2.TokenBucket(refill_amount=1, refill_interval=Duration(seconds=1)),
        )
        for index, selector in enumerate(selectors)
    ]
    buckets = LimitTable(map(to_limit, limits)).bind(to_caller(caller), model, labels)
    assert [bucket.limit_id for bucket in buckets] == [
        limit.limit_id for limit in limits if binds(limit.selector, caller, model, labels)
    ]
