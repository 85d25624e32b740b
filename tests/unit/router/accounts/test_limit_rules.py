"""What the router knows of limits: whole listings, those that bind, and what was seen last."""

from collections.abc import Sequence

from headgate.common.v1.caller_pb2 import Caller
from headgate.ratelimit.v1 import limit_pb2
from headgate.ratelimit.v1 import ratelimit_service_pb2 as ratelimit
from services._runtime.errors import PeerUnavailableError
from services.router.accounts.limit_rules import LimitRules

ACME = Caller(organization_id="acme", user_id="ann", key_id="k1")


def limit(limit_id: str, organization_id: str = "", *, shadow: bool = False) -> limit_pb2.Limit:
    selector = limit_pb2.Selector(organization_id=organization_id)
    return limit_pb2.Limit(limit_id=limit_id, selector=selector, shadow=shadow)


class Told:
    """`Listing` in pages of two; what it tells can be changed after any page."""

    def __init__(self, limits: Sequence[limit_pb2.Limit]) -> None:
        self.etag = "1"
        self.limits_now = list(limits)
        self.asked: list[ratelimit.ListLimitsRequest] = []
        self.is_lost = False
        self.changes_after_page = False

    async def limits(self, request: ratelimit.ListLimitsRequest) -> ratelimit.ListLimitsResponse:
        self.asked.append(request)
        if self.is_lost:
            raise PeerUnavailableError("down")
        if request.known_etag == self.etag:
            return ratelimit.ListLimitsResponse(etag=self.etag)
        begin = int(request.page_token or 0)
        page = ratelimit.ListLimitsResponse(limits=self.limits_now[begin : begin + 2], etag=self.etag)
        if begin + 2 < len(self.limits_now):
            page.next_page_token = str(begin + 2)
        if self.changes_after_page:
            self.etag += "+"
        return page


def bound(rules: LimitRules, caller: Caller = ACME) -> list[str]:
    return [limit.limit_id for limit in rules.binding(caller, "m", {})]


async def test_every_page_is_read_and_what_binds_is_found_by_organisation() -> None:
    told = Told([limit("a"), limit("b", "acme"), limit("c", "other"), limit("d")])
    rules = LimitRules(told)
    assert bound(rules) == []
    await rules.look()
    assert bound(rules) == ["a", "b", "d"]
    assert bound(rules, Caller()) == ["a", "d"]
    assert len(told.asked) == 2


async def test_what_has_not_changed_is_not_told_again_and_what_has_replaces_all() -> None:
    told = Told([limit("a")])
    rules = LimitRules(told)
    await rules.look()
    await rules.look()
    assert [request.known_etag for request in told.asked] == ["", "1"]
    assert bound(rules) == ["a"]
    told.limits_now, told.etag = [limit("b"), limit("shadow", shadow=True)], "2"
    await rules.look()
    assert bound(rules) == ["b"]
    told.limits_now, told.etag = [], "3"
    await rules.look()
    assert bound(rules) == []


async def test_while_nobody_can_say_what_was_seen_last_stays() -> None:
    told = Told([limit("a")])
    rules = LimitRules(told)
    await rules.look()
    told.is_lost, told.etag, told.limits_now = True, "2", []
    await rules.look()
    assert bound(rules) == ["a"]


async def test_a_listing_that_changed_while_it_was_read_is_read_again() -> None:
    told = Told([limit("a"), limit("b"), limit("c")])
    rules = LimitRules(told)
    told.changes_after_page = True
    await rules.look()
    assert bound(rules) == []
    told.changes_after_page = False
    await rules.look()
    assert bound(rules) == ["a", "b", "c"]
