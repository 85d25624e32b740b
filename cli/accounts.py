"""Accounts and keys: what commands ask of billing's AccountService."""

from collections.abc import Iterator
from datetime import timedelta
from typing import cast

from cli.client import Peer
from cli.errors import CommandError
from headgate.billing.v1 import account_service_pb2 as pb
from headgate.billing.v1 import billing_service_pb2 as billing_pb
from headgate.billing.v1.account_service_pb2_grpc import AccountServiceStub
from headgate.billing.v1.billing_service_pb2_grpc import BillingServiceStub
from headgate.common.v1.caller_pb2 import Caller

_PAGE = 500


def create_key(
    billing: Peer, organization: str, user: str, name: str = "", expires_in: timedelta | None = None
) -> pb.CreateKeyResponse:
    stub = AccountServiceStub(billing.channel)
    for user_id in ("", user):
        ensure_account(billing, organization, user_id)
    key = pb.Key(organization_id=organization, user_id=user, display_name=name)
    if expires_in is not None:
        key.expire_time.GetCurrentTime()
        key.expire_time.FromNanoseconds(key.expire_time.ToNanoseconds() + _nanoseconds(expires_in))
    return cast("pb.CreateKeyResponse", billing.call(stub.CreateKey, pb.CreateKeyRequest(key=key)))


def ensure_account(billing: Peer, organization: str, user: str) -> None:
    """The account exists after this, with whatever name it had before."""
    stub = AccountServiceStub(billing.channel)
    account = pb.Account(organization_id=organization, user_id=user)
    try:
        billing.call(stub.CreateAccount, pb.CreateAccountRequest(account=account))
    except CommandError as error:
        if error.reason != "ALREADY_EXISTS":
            raise


def keys(billing: Peer, organization: str, user: str) -> Iterator[pb.Key]:
    stub, token = AccountServiceStub(billing.channel), ""
    while True:
        request = pb.ListKeysRequest(
            organization_id=organization, user_id=user, page_size=_PAGE, page_token=token
        )
        page = billing.call(stub.ListKeys, request)
        yield from page.keys
        token = page.next_page_token
        if not token:
            return


def holds(billing: Peer, organization: str, *, orphaned: bool) -> Iterator[billing_pb.Hold]:
    stub, token = BillingServiceStub(billing.channel), ""
    state = billing_pb.HOLD_STATE_ORPHANED if orphaned else billing_pb.HOLD_STATE_UNSPECIFIED
    while True:
        request = billing_pb.ListHoldsRequest(
            organization_id=organization, state=state, page_size=_PAGE, page_token=token
        )
        page = billing.call(stub.ListHolds, request)
        yield from page.holds
        token = page.next_page_token
        if not token:
            return


def rename_key(billing: Peer, key_id: str, name: str) -> pb.Key:
    stub = AccountServiceStub(billing.channel)
    response = billing.call(stub.RenameKey, pb.RenameKeyRequest(key_id=key_id, display_name=name))
    return cast("pb.Key", response.key)


def revoke_key(billing: Peer, key_id: str) -> pb.Key:
    stub = AccountServiceStub(billing.channel)
    response = billing.call(stub.RevokeKey, pb.RevokeKeyRequest(key_id=key_id))
    return cast("pb.Key", response.key)


def resolve(billing: Peer, token: str) -> Caller:
    """Whose key it is."""
    stub = AccountServiceStub(billing.channel)
    return cast("Caller", billing.call(stub.ResolveKey, pb.ResolveKeyRequest(token=token)).caller)


def key_id_of(key: str) -> str:
    """Of `hg_<id>_<secret>`, or of an id itself."""
    return key.split("_")[1] if key.startswith("hg_") and key.count("_") >= 2 else key  # noqa: PLR2004 - the form's


def _nanoseconds(period: timedelta) -> int:
    return period // timedelta(microseconds=1) * 1000
