"""Which limits bind a request, and which requests share a bucket."""

from collections.abc import Iterable

from hypothesis import given
from hypothesis import strategies as st

from services.ratelimit.binding import LimitTable, escaped
from services.ratelimit.limit import Caller, Dimension, Limit, Metric, Selector, SlidingWindow, TokenBucket

ALICE = Caller("acme", "alice", "key-1")
BUCKET = TokenBucket(1, 1_000_000, 5)


def limit(limit_id: str, selector: Selector | None = None, per: Iterable[Dimension] = ()) -> Limit:
    return Limit(limit_id, Metric.REQUESTS, BUCKET, selector or Selector(), tuple(per))


def bound(caller: Caller, model: str, labels: dict[str, str], *limits: Limit) -> list[str]:
    return [bucket.limit_id for bucket in LimitTable(limits).bind(caller, model, labels)]


def key(caller: Caller, model: str, one: Limit) -> str:
    (bucket,) = LimitTable([one]).bind(caller, model, {})
    return bucket.key


def test_all_limits_that_match_bind_in_the_order_of_their_ids() -> None:
    limits = [
        limit("z"),
        limit("org", Selector(organization_id="acme")),
        limit("other-org", Selector(organization_id="umbrella")),
        limit("user", Selector(user_id="alice")),
        limit("other-user", Selector(user_id="bob")),
        limit("key", Selector(key_id="key-1")),
        limit("model", Selector(model="small")),
        limit("other-model", Selector(model="large")),
        limit("labels", Selector(labels={"team": "red"})),
        limit("more-labels", Selector(labels={"team": "red", "env": "prod"})),
    ]
    assert bound(ALICE, "small", {"team": "red"}, *limits) == ["key", "labels", "model", "org", "user", "z"]


def test_only_labels_that_a_limit_names_tell_requests_apart() -> None:
    table = LimitTable([limit("red", Selector(labels={"team": "red"}))])
    for trace in range(100):
        table.bind(ALICE, "small", {"trace": str(trace), "team": "red"})
    assert len(table._bound) == 1


def test_what_is_remembered_of_requests_is_bounded() -> None:
    table = LimitTable([limit("any")])
    for number in range(10_050):
        table.bind(Caller(f"org-{number}"), "", {})
    assert len(table._bound) <= 10_000


def test_a_limit_per_nothing_has_one_bucket_for_all() -> None:
    assert key(ALICE, "small", limit("all")) == key(Caller("umbrella"), "large", limit("all"))


def test_a_dimension_tells_buckets_apart() -> None:
    by_model = limit("m", per=[Dimension.MODEL])
    assert key(ALICE, "small", by_model) != key(ALICE, "large", by_model)
    assert key(ALICE, "small", by_model) == key(Caller("umbrella"), "small", by_model)


def test_users_of_the_same_name_in_two_organisations_are_two_users() -> None:
    by_user = limit("u", per=[Dimension.USER])
    assert key(ALICE, "", by_user) != key(Caller("umbrella", "alice", "key-1"), "", by_user)


def test_buckets_of_an_organisation_share_a_hash_tag() -> None:
    for one in (
        limit("a", per=[Dimension.ORGANIZATION]),
        limit("b", per=[Dimension.KEY, Dimension.MODEL]),
        limit("c", Selector(organization_id="acme")),
    ):
        assert key(ALICE, "small", one).startswith("{acme}:")
    assert key(ALICE, "small", limit("d")).startswith("{*}:")


def test_a_limit_that_was_deleted_and_made_again_counts_anew() -> None:
    first, second = (
        Limit("l", Metric.REQUESTS, BUCKET, generation=1),
        Limit("l", Metric.REQUESTS, BUCKET, generation=2),
    )
    assert key(ALICE, "", first) != key(ALICE, "", second)


def test_changed_amounts_keep_the_bucket_and_another_window_is_another() -> None:
    faster = Limit("l", Metric.REQUESTS, TokenBucket(5, 1_000_000, 50))
    assert key(ALICE, "", limit("l")) == key(ALICE, "", faster)
    minute, wider, hour = (
        Limit("l", Metric.REQUESTS, SlidingWindow(maximum, seconds * 1_000_000))
        for maximum, seconds in ((5, 60), (9, 60), (5, 3600))
    )
    assert key(ALICE, "", minute) == key(ALICE, "", wider)
    assert key(ALICE, "", minute) != key(ALICE, "", hour)


OF_MODELS = LimitTable(
    [limit("any"), limit("per-model", per=[Dimension.MODEL]), limit("small", Selector(model="small"))]
)


def test_without_a_model_only_limits_bind_that_bind_whatever_the_model() -> None:
    assert [bucket.limit_id for _, bucket in OF_MODELS.bind_models(ALICE, [], {})] == ["any"]


def test_for_several_models_each_bucket_comes_once_and_names_the_model_that_is_counted_apart() -> None:
    bound = OF_MODELS.bind_models(ALICE, ["large", "small"], {})
    assert [(model, bucket.limit_id) for model, bucket in bound] == [
        ("", "any"),
        ("large", "per-model"),
        ("small", "per-model"),
        ("small", "small"),
    ]
    of_each = {bucket for model in ("large", "small") for bucket in OF_MODELS.bind(ALICE, model, {})}
    assert {bucket for _, bucket in bound} == of_each
    assert len(bound) == len(of_each)


def test_a_caller_whom_no_limit_can_bind_is_known() -> None:
    table = LimitTable([limit("small", Selector(organization_id="acme", model="small"))])
    assert table.may_bind(ALICE)
    assert not table.may_bind(Caller("umbrella"))


@given(st.text(), st.text())
def test_no_two_values_give_the_same_part_of_a_key(one: str, other: str) -> None:
    assert (escaped(one) == escaped(other)) == (one == other)
    assert not set("{}:*") & set(escaped(one))
