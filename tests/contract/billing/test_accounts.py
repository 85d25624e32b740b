"""Accounts and keys on both databases."""

from dataclasses import replace

import pytest

from services.billing.accounts import Account, Key
from services.billing.budgets import Budget, Period
from services.billing.errors import ResourceExistsError, UnknownResourceError
from tests.contract.billing.stores import NOON, Stores

ACME = Account("acme", "", "Acme", NOON)
ALICE = Account("acme", "alice", "Alice", NOON)
KEY = Key("k1", "acme", "alice", "laptop", NOON, expire_ns=NOON + 5)


async def test_an_account_is_created_once_and_read_back(stores: Stores) -> None:
    assert await stores.accounts.put_account(ACME) == ACME
    assert await stores.accounts.put_account(replace(ACME, create_ns=NOON + 9)) == ACME
    assert await stores.accounts.account("acme", "") == ACME


async def test_an_account_with_other_content_exists_already(stores: Stores) -> None:
    await stores.accounts.put_account(ACME)
    with pytest.raises(ResourceExistsError):
        await stores.accounts.put_account(replace(ACME, display_name="Other"))
    assert await stores.accounts.account("acme", "") == ACME


async def test_a_user_needs_its_organisation_and_a_key_its_account(stores: Stores) -> None:
    with pytest.raises(UnknownResourceError):
        await stores.accounts.put_account(ALICE)
    await stores.accounts.put_account(ACME)
    with pytest.raises(UnknownResourceError):
        await stores.accounts.add_key(KEY, b"hash")
    with pytest.raises(UnknownResourceError):
        await stores.accounts.account("acme", "alice")


async def test_accounts_are_listed_by_organisation_and_user(stores: Stores) -> None:
    for organization in ("b", "a"):
        await stores.accounts.put_account(Account(organization))
    for user in ("z", "x"):
        await stores.accounts.put_account(Account("a", user))

    async def listed(organization: str, after: tuple[str, str], limit: int) -> list[tuple[str, str]]:
        found = await stores.accounts.accounts(organization, after, limit)
        return [(account.organization_id, account.user_id) for account in found]

    assert await listed("", ("", ""), 10) == [("a", ""), ("a", "x"), ("a", "z"), ("b", "")]
    assert await listed("", ("a", "x"), 1) == [("a", "z")]
    assert await listed("b", ("", ""), 10) == [("b", "")]


async def add_key(stores: Stores, key: Key) -> None:
    await stores.accounts.put_account(Account(key.organization_id))
    if key.user_id:
        await stores.accounts.put_account(Account(key.organization_id, key.user_id))
    await stores.accounts.add_key(key, b"hash of " + key.key_id.encode())


async def test_a_key_is_found_with_the_hash_of_its_secret(stores: Stores) -> None:
    await add_key(stores, KEY)
    stored = await stores.accounts.stored_key("k1")
    assert stored is not None
    assert (stored.key, stored.secret_hash, stored.has_hard_budget) == (KEY, b"hash of k1", False)
    assert await stores.accounts.stored_key("k2") is None


@pytest.mark.parametrize(
    ("budget", "is_bound"),
    [
        (Budget("b", "acme", 1, Period.TOTAL), True),
        (Budget("b", "acme", 1, Period.TOTAL, user_id="alice"), True),
        (Budget("b", "acme", 1, Period.TOTAL, user_id="alice", key_id="k1"), True),
        (Budget("b", "acme", 1, Period.TOTAL, soft=True), False),
        (Budget("b", "acme", 1, Period.TOTAL, user_id="bob"), False),
        (Budget("b", "acme", 1, Period.TOTAL, key_id="k2"), False),
        (Budget("b", "other", 1, Period.TOTAL), False),
    ],
)
async def test_a_key_knows_whether_a_hard_budget_binds_it(
    stores: Stores, budget: Budget, *, is_bound: bool
) -> None:
    await add_key(stores, KEY)
    await stores.budgets.put_budget(budget)
    stored = await stores.accounts.stored_key("k1")
    assert stored is not None
    assert stored.has_hard_budget is is_bound


async def test_a_key_gets_another_name_and_nothing_else_of_it_changes(stores: Stores) -> None:
    await add_key(stores, KEY)
    renamed = replace(KEY, display_name="prod [/x]")
    assert await stores.accounts.rename_key("k1", "prod [/x]") == renamed
    assert await stores.accounts.rename_key("k1", "prod [/x]") == renamed
    stored = await stores.accounts.stored_key("k1")
    assert stored is not None
    assert stored.key == renamed
    with pytest.raises(UnknownResourceError):
        await stores.accounts.rename_key("k2", "x")


async def test_a_key_is_revoked_once_and_for_ever(stores: Stores) -> None:
    await add_key(stores, KEY)
    assert await stores.accounts.revoke_key("k1", NOON + 1) == replace(KEY, revoke_ns=NOON + 1)
    assert await stores.accounts.revoke_key("k1", NOON + 2) == replace(KEY, revoke_ns=NOON + 1)
    with pytest.raises(UnknownResourceError):
        await stores.accounts.revoke_key("k2", NOON)


async def test_keys_are_listed_by_time_of_creation(stores: Stores) -> None:
    await add_key(stores, Key("k3", "acme", "", "", NOON))
    await add_key(stores, Key("k2", "acme", "bob", "", NOON))
    await add_key(stores, Key("k1", "other", "", "", NOON + 1))

    async def listed(organization: str, user: str, after: tuple[int, str], limit: int) -> list[str]:
        return [key.key_id for key in await stores.accounts.keys(organization, user, after, limit)]

    assert await listed("", "", (-1, ""), 10) == ["k2", "k3", "k1"]
    assert await listed("", "", (NOON, "k2"), 1) == ["k3"]
    assert await listed("acme", "bob", (-1, ""), 10) == ["k2"]
