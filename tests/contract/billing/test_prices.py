"""Prices that the API adds, on both databases."""

from dataclasses import replace

from services.billing.books import Capture, Captured
from services.billing.pricing import Price, Source, Tier
from services.billing.usage import Caller
from tests.contract.billing.stores import BOB, HOUR, NOON, UNIT_PRICE, OpenDatabase, Stores, opened, used


def version(price_id: str, rate: int, effective_ns: int | None = None, organization_id: str = "") -> Price:
    tier = Tier(0, rate * 1_000_000, rate * 1_000_000)
    return Price(price_id, "house", "unit", (tier,), 0, effective_ns, organization_id, source=Source.API)


async def cost(stores: Stores, attempt_id: str, **changes: object) -> tuple[int, str]:
    (result,) = await stores.ledger.post([Capture("", (used(attempt_id, 1, **changes),))])
    assert isinstance(result, Captured)
    return result.costs[0].nanos, result.costs[0].price_id


async def test_a_version_applies_to_what_ends_in_its_time(stores: Stores) -> None:
    await stores.prices.add_price(version("v7", 7, NOON + HOUR))
    assert await cost(stores, "before", end_ns=NOON + HOUR - 1) == (2, "test:unit")
    assert await cost(stores, "after", end_ns=NOON + HOUR) == (7, "v7")


async def test_an_organisations_own_price_comes_first(stores: Stores) -> None:
    await stores.prices.add_price(version("mine", 5, organization_id="acme"))
    await stores.prices.add_price(version("everybody", 9))
    other = Caller("other", BOB.user_id, BOB.key_id)
    assert await cost(stores, "a") == (5, "mine")
    assert await cost(stores, "b", caller=other) == (9, "everybody")


async def test_of_two_versions_from_the_same_moment_the_later_one_applies(stores: Stores) -> None:
    await stores.prices.add_price(version("first", 3, NOON))
    await stores.prices.add_price(version("second", 4, NOON))
    assert await cost(stores, "a") == (4, "second")


async def test_what_was_booked_keeps_its_price(stores: Stores) -> None:
    assert await cost(stores, "a") == (2, "test:unit")
    await stores.prices.add_price(version("new", 50))
    assert await cost(stores, "a") == (2, "test:unit")
    assert await cost(stores, "b") == (50, "new")


async def test_added_versions_are_listed_and_survive_a_restart(open_database: OpenDatabase) -> None:
    added = replace(
        version("v", 3, NOON, "acme"),
        request_nanos=9,
        tiers=(Tier(0, 1, 2, None, 4), Tier(10, 5, 6, 0, None)),
    )
    async with opened(open_database) as stores:
        await stores.prices.add_price(added)
        await stores.prices.add_price(added)
        assert list(await stores.prices.prices()) == [UNIT_PRICE, added]
    async with opened(open_database) as stores:
        assert list(await stores.prices.prices()) == [UNIT_PRICE, added]


async def test_every_applied_version_is_kept_but_only_added_ones_apply(open_database: OpenDatabase) -> None:
    async with opened(open_database) as stores:
        await cost(stores, "a")
    async with opened(open_database) as stores:
        assert list(await stores.prices.prices()) == [UNIT_PRICE]
        kept = await stores.database.read(
            lambda connection: connection.exec_driver_sql("SELECT price_id FROM prices").scalars().all()
        )
        assert kept == ["test:unit"]
