"""AccountService over the port: messages in, messages out."""

# ruff: noqa: N802, ARG002 - the methods are named and called as the contract has them

from collections.abc import Callable
from typing import Any

from headgate.billing.v1 import account_service_pb2 as pb
from headgate.billing.v1.account_service_pb2_grpc import AccountServiceServicer
from services.billing.errors import UnknownResourceError
from services.billing.keys import Token, hash_secret, parse_token, recognise
from services.billing.paging import page_size, read_token, write_token
from services.billing.resource_messages import (
    account_message,
    key_message,
    read_account,
    read_key,
    resolved_message,
)
from services.billing.store import AccountStore
from services.billing.usage_messages import text

SERVICE = pb.DESCRIPTOR.services_by_name["AccountService"].full_name


class AccountServicer(AccountServiceServicer):
    """`make_token` makes a key that nobody could guess."""

    def __init__(
        self,
        accounts: AccountStore,
        pepper: bytes,
        make_token: Callable[[], Token],
        now_ns: Callable[[], int],
    ) -> None:
        self._accounts = accounts
        self._pepper = pepper
        self._make_token = make_token
        self._now_ns = now_ns

    async def CreateAccount(self, request: pb.CreateAccountRequest, context: Any) -> pb.CreateAccountResponse:
        account = await self._accounts.put_account(read_account(request.account, self._now_ns()))
        return pb.CreateAccountResponse(account=account_message(account))

    async def GetAccount(self, request: pb.GetAccountRequest, context: Any) -> pb.GetAccountResponse:
        account = await self._accounts.account(request.organization_id, request.user_id)
        return pb.GetAccountResponse(account=account_message(account))

    async def ListAccounts(self, request: pb.ListAccountsRequest, context: Any) -> pb.ListAccountsResponse:
        question, size = ("ListAccounts", request.organization_id), page_size(request.page_size)
        after = read_token(question, request.page_token, tuple[str, str]) or ("", "")
        found = await self._accounts.accounts(request.organization_id, after, size + 1)
        page, token = found[:size], ""
        if len(found) > size:
            token = write_token(question, (page[-1].organization_id, page[-1].user_id))
        return pb.ListAccountsResponse(accounts=map(account_message, page), next_page_token=token)

    async def CreateKey(self, request: pb.CreateKeyRequest, context: Any) -> pb.CreateKeyResponse:
        token = self._make_token()
        key = read_key(request.key, token.key_id, self._now_ns())
        await self._accounts.add_key(key, hash_secret(self._pepper, token.secret))
        return pb.CreateKeyResponse(key=key_message(key), token=token.text())

    async def ListKeys(self, request: pb.ListKeysRequest, context: Any) -> pb.ListKeysResponse:
        question = ("ListKeys", request.organization_id, request.user_id)
        after = read_token(question, request.page_token, tuple[int, str]) or (-1, "")
        size = page_size(request.page_size)
        found = await self._accounts.keys(request.organization_id, request.user_id, after, size + 1)
        page, token = found[:size], ""
        if len(found) > size:
            token = write_token(question, (page[-1].create_ns, page[-1].key_id))
        return pb.ListKeysResponse(keys=map(key_message, page), next_page_token=token)

    async def GetKey(self, request: pb.GetKeyRequest, context: Any) -> pb.GetKeyResponse:
        stored = await self._accounts.stored_key(request.key_id)
        if stored is None:
            raise UnknownResourceError(f"no key {request.key_id}")
        return pb.GetKeyResponse(key=key_message(stored.key))

    async def RenameKey(self, request: pb.RenameKeyRequest, context: Any) -> pb.RenameKeyResponse:
        name = text(request.display_name, "display_name")
        return pb.RenameKeyResponse(key=key_message(await self._accounts.rename_key(request.key_id, name)))

    async def RevokeKey(self, request: pb.RevokeKeyRequest, context: Any) -> pb.RevokeKeyResponse:
        key = await self._accounts.revoke_key(request.key_id, self._now_ns())
        return pb.RevokeKeyResponse(key=key_message(key))

    async def ResolveKey(self, request: pb.ResolveKeyRequest, context: Any) -> pb.ResolveKeyResponse:
        token = parse_token(request.token)
        # A malformed token is looked up as well: it takes the same time as an unknown one.
        stored = await self._accounts.stored_key(token.key_id if token is not None else "")
        return resolved_message(recognise(self._pepper, token, stored, self._now_ns()))
