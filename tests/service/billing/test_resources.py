"""Accounts, keys, prices and budgets over real gRPC."""

import logging
from collections.abc import Callable
from pathlib import Path

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from headgate.billing.v1 import account_service_pb2 as accounts_pb
from headgate.billing.v1 import billing_service_pb2 as pb
from headgate.billing.v1 import budget_pb2, price_pb2
from headgate.billing.v1.account_service_pb2_grpc import AccountServiceStub
from headgate.billing.v1.billing_service_pb2_grpc import BillingServiceStub
from headgate.common.v1.caller_pb2 import Caller
from headgate.common.v1.source_pb2 import (
    RESOURCE_SOURCE_API,
    RESOURCE_SOURCE_BUILTIN,
)
from services._runtime.errors import Code
from tests.service.billing.calls import capture, record, refusal


def create_key(accounts: AccountServiceStub, organization_id: str) -> accounts_pb.CreateKeyResponse:
    account = accounts_pb.Account(organization_id=organization_id)
    accounts.CreateAccount(accounts_pb.CreateAccountRequest(account=account))
    key = accounts_pb.Key(organization_id=organization_id)
    return accounts.CreateKey(accounts_pb.CreateKeyRequest(key=key))


def test_a_new_key_resolves_to_its_caller(accounts: AccountServiceStub) -> None:
    created = create_key(accounts, "keyed")
    resolved = accounts.ResolveKey(accounts_pb.ResolveKeyRequest(token=created.token))
    assert created.token.startswith(f"hg_{created.key.key_id}_")
    assert (resolved.caller.organization_id, resolved.caller.key_id) == ("keyed", created.key.key_id)
    assert not resolved.has_hard_budget


def test_the_secret_is_in_no_later_answer_and_in_no_file(
    accounts: AccountServiceStub,
    data_dir: Path,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    caplog.set_level(logging.DEBUG)
    created = create_key(accounts, "secretive")
    secret = created.token.rsplit("_", 1)[1]
    accounts.ResolveKey(accounts_pb.ResolveKeyRequest(token=created.token))
    refused = refusal(accounts.ResolveKey, accounts_pb.ResolveKeyRequest(token=created.token + "x"))
    listed = accounts.ListKeys(accounts_pb.ListKeysRequest(organization_id="secretive"))
    output = capfd.readouterr()
    assert secret not in f"{listed}{refused}{caplog.text}{output.out}{output.err}"
    for file in data_dir.glob("billing*"):
        assert secret.encode() not in file.read_bytes(), file.name
    assert (data_dir / "billing.pepper").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    "spoil",
    [
        lambda token: token[:-1] + ("A" if token[-1] != "A" else "B"),
        lambda token: token.replace("hg_", "hg_x"),
        lambda _: "sk-something-else",
        lambda _: "hg__",
        lambda token: token + "\n",
    ],
)
def test_an_unknown_key_and_a_wrong_secret_are_not_told_apart(
    accounts: AccountServiceStub, spoil: Callable[[str], str]
) -> None:
    token = create_key(accounts, "spoilt").token
    refused = refusal(accounts.ResolveKey, accounts_pb.ResolveKeyRequest(token=spoil(token)))
    assert (refused.code, refused.reason, refused.message) == (
        Code.UNAUTHENTICATED,
        "INVALID_KEY",
        "no such API key",
    )


def test_a_key_is_read_by_its_id_without_its_secret(accounts: AccountServiceStub) -> None:
    created = create_key(accounts, "read")
    read = accounts.GetKey(accounts_pb.GetKeyRequest(key_id=created.key.key_id))
    assert read.key == created.key
    assert created.token.rsplit("_", 1)[1] not in str(read)


def test_a_revoked_key_says_so_only_to_who_has_its_secret(accounts: AccountServiceStub) -> None:
    created = create_key(accounts, "revoked")
    accounts.RevokeKey(accounts_pb.RevokeKeyRequest(key_id=created.key.key_id))
    right = refusal(accounts.ResolveKey, accounts_pb.ResolveKeyRequest(token=created.token))
    wrong = refusal(accounts.ResolveKey, accounts_pb.ResolveKeyRequest(token=created.token + "x"))
    assert (right.reason, wrong.reason) == ("KEY_REVOKED", "INVALID_KEY")


def test_a_key_ends_in_the_future_or_not_at_all(accounts: AccountServiceStub) -> None:
    create_key(accounts, "past")
    key = accounts_pb.Key(organization_id="past", expire_time=Timestamp(seconds=1))
    refused = refusal(accounts.CreateKey, accounts_pb.CreateKeyRequest(key=key))
    assert [violation.field for violation in refused.field_violations] == ["key.expire_time"]


def test_a_hard_budget_is_told_with_the_key(
    accounts: AccountServiceStub, grpc_stub: BillingServiceStub
) -> None:
    created = create_key(accounts, "bound")
    budget = budget_pb2.Budget(
        budget_id="bound", organization_id="bound", limit_nanos=1, period=budget_pb2.BUDGET_PERIOD_DAY
    )
    grpc_stub.SetBudget(pb.SetBudgetRequest(budget=budget))
    resolved = accounts.ResolveKey(accounts_pb.ResolveKeyRequest(token=created.token))
    assert resolved.has_hard_budget


def test_accounts_and_keys_are_listed_in_pages(accounts: AccountServiceStub) -> None:
    create_key(accounts, "listed")
    create_key(accounts, "listed")
    for user in ("u1", "u2"):
        account = accounts_pb.Account(organization_id="listed", user_id=user)
        accounts.CreateAccount(accounts_pb.CreateAccountRequest(account=account))
    asked = accounts_pb.ListAccountsRequest(organization_id="listed", page_size=2)
    first = accounts.ListAccounts(asked)
    asked.page_token = first.next_page_token
    users = [account.user_id for page in (first, accounts.ListAccounts(asked)) for account in page.accounts]
    assert users == ["", "u1", "u2"]
    keys = accounts_pb.ListKeysRequest(organization_id="listed", page_size=1)
    keys.page_token = accounts.ListKeys(keys).next_page_token
    assert len(accounts.ListKeys(keys).keys) == 1
    foreign = accounts_pb.ListAccountsRequest(page_token=keys.page_token)
    assert refusal(accounts.ListAccounts, foreign).reason == "INVALID_PAGE_TOKEN"


def test_what_does_not_exist_is_not_found(
    accounts: AccountServiceStub, grpc_stub: BillingServiceStub
) -> None:
    orphan = accounts_pb.Account(organization_id="nowhere", user_id="u")
    for call, request in (
        (accounts.GetAccount, accounts_pb.GetAccountRequest(organization_id="nowhere")),
        (accounts.CreateAccount, accounts_pb.CreateAccountRequest(account=orphan)),
        (accounts.GetKey, accounts_pb.GetKeyRequest(key_id="nobody")),
        (accounts.RevokeKey, accounts_pb.RevokeKeyRequest(key_id="nobody")),
        (grpc_stub.GetBudget, pb.GetBudgetRequest(budget_id="nothing")),
        (grpc_stub.DeleteBudget, pb.DeleteBudgetRequest(budget_id="nothing")),
    ):
        assert refusal(call, request).reason == "NOT_FOUND"


def test_the_budgets_that_bind_a_caller_are_listed_in_pages(grpc_stub: BillingServiceStub) -> None:
    for budget_id, fields in (
        ("payer/all", {}),
        ("payer/ann", {"user_id": "ann"}),
        ("payer/bob", {"user_id": "bob"}),
        ("payer/key", {"key_id": "k1"}),
    ):
        budget = budget_pb2.Budget(
            budget_id=budget_id,
            organization_id="payer",
            limit_nanos=1,
            period=budget_pb2.BUDGET_PERIOD_DAY,
            soft=True,
            **fields,  # type: ignore[arg-type]
        )
        grpc_stub.SetBudget(pb.SetBudgetRequest(budget=budget))
    ann = Caller(organization_id="payer", user_id="ann", key_id="k1")
    asked = pb.ListBudgetsRequest(caller=ann, page_size=2)
    first = grpc_stub.ListBudgets(asked)
    asked.page_token = first.next_page_token
    second = grpc_stub.ListBudgets(asked)
    ids = [budget.budget_id for page in (first, second) for budget in page.budgets]
    assert (ids, second.next_page_token) == (["payer/all", "payer/ann", "payer/key"], "")
    asked.caller.user_id = "bob"
    assert refusal(grpc_stub.ListBudgets, asked).reason == "INVALID_PAGE_TOKEN"


def test_a_price_is_set_listed_and_applied(grpc_stub: BillingServiceStub) -> None:
    price = price_pb2.Price(
        provider="house",
        model="big",
        tiers=[
            price_pb2.PriceTier(input_nanos_per_million=5_000_000, output_nanos_per_million=0),
            price_pb2.PriceTier(min_input_tokens=100, input_nanos_per_million=9_000_000),
        ],
        request_nanos=3,
    )
    made = grpc_stub.SetPrice(pb.SetPriceRequest(price=price)).price
    listed = grpc_stub.ListPrices(pb.ListPricesRequest(provider="house")).prices
    assert list(listed) == [made]
    assert made.source == RESOURCE_SOURCE_API
    booked = grpc_stub.Capture(capture("", record("priced", provider="house", model="big")))
    assert (booked.total_nanos, booked.costs[0].price_id) == (903, made.price_id)


def test_tiers_that_do_not_ascend_from_zero_are_refused(grpc_stub: BillingServiceStub) -> None:
    tiers = [price_pb2.PriceTier(min_input_tokens=1), price_pb2.PriceTier(min_input_tokens=1)]
    price = price_pb2.Price(provider="house", model="odd", tiers=tiers)
    refused = refusal(grpc_stub.SetPrice, pb.SetPriceRequest(price=price))
    assert [violation.field for violation in refused.field_violations] == [
        "price.tiers[0].min_input_tokens",
        "price.tiers[1].min_input_tokens",
    ]


def test_the_shipped_prices_are_listed_in_pages(grpc_stub: BillingServiceStub) -> None:
    asked = pb.ListPricesRequest(provider="openai", page_size=40)
    models: list[str] = []
    while True:
        page = grpc_stub.ListPrices(asked)
        assert all(price.source == RESOURCE_SOURCE_BUILTIN for price in page.prices)
        models += [price.model for price in page.prices]
        asked.page_token = page.next_page_token
        if not asked.page_token:
            break
    assert models == sorted(models)
    assert "gpt-4o" in models


def test_an_old_etag_is_refused(grpc_stub: BillingServiceStub) -> None:
    budget = budget_pb2.Budget(
        budget_id="tagged", organization_id="acme", limit_nanos=5, period=budget_pb2.BUDGET_PERIOD_MONTH
    )
    first = grpc_stub.SetBudget(pb.SetBudgetRequest(budget=budget)).budget
    assert first.HasField("reset_time")
    changed = budget_pb2.Budget()
    changed.CopyFrom(first)
    changed.limit_nanos = 6
    grpc_stub.SetBudget(pb.SetBudgetRequest(budget=changed))
    refused = refusal(grpc_stub.SetBudget, pb.SetBudgetRequest(budget=changed))
    assert (refused.code, refused.reason) == (Code.ABORTED, "ETAG_MISMATCH")
    assert (
        refusal(grpc_stub.DeleteBudget, pb.DeleteBudgetRequest(budget_id="tagged", etag=first.etag)).reason
        == "ETAG_MISMATCH"
    )
    grpc_stub.DeleteBudget(pb.DeleteBudgetRequest(budget_id="tagged"))
