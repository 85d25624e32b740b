"""Accounts and keys in SQL."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, exists, func, insert, select, tuple_, update

from services.billing.accounts import Account, Key, StoredKey
from services.billing.errors import ResourceExistsError, UnknownResourceError
from services.billing.stores.sql import rows
from services.billing.stores.sql.database import Database
from services.billing.stores.sql.statements import insert_into
from services.billing.stores.sql.tables import accounts, api_keys, budgets


class SqlAccounts:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def put_account(self, account: Account) -> Account:
        def body(connection: Connection) -> Account:
            if account.user_id:
                _require_account(connection, account.organization_id, "")
            connection.execute(
                insert_into(connection.dialect.name, accounts).on_conflict_do_nothing(),
                {
                    "organization_id": account.organization_id,
                    "user_id": account.user_id,
                    "display_name": account.display_name,
                    "create_ns": account.create_ns,
                },
            )
            return _require_account(connection, account.organization_id, account.user_id)

        existing = await self._database.write(body)
        if existing.display_name != account.display_name:
            raise ResourceExistsError(f"{_account_name(account)} exists with another display_name")
        return existing

    async def account(self, organization_id: str, user_id: str) -> Account:
        return await self._database.read(
            lambda connection: _require_account(connection, organization_id, user_id)
        )

    async def accounts(self, organization_id: str, after: tuple[str, str], limit: int) -> Sequence[Account]:
        place = tuple_(accounts.c.organization_id, accounts.c.user_id)
        conditions: list[ColumnElement[bool]] = [place > tuple_(*after)]
        if organization_id:
            conditions.append(accounts.c.organization_id == organization_id)
        statement = (
            select(accounts)
            .where(*conditions)
            .order_by(accounts.c.organization_id, accounts.c.user_id)
            .limit(limit)
        )
        found = await self._database.read(lambda connection: connection.execute(statement).all())
        return [rows.account_of(row) for row in found]

    async def add_key(self, key: Key, secret_hash: bytes) -> None:
        def body(connection: Connection) -> None:
            _require_account(connection, key.organization_id, key.user_id)
            connection.execute(insert(api_keys), _key_row(key, secret_hash))

        await self._database.write(body)

    async def stored_key(self, key_id: str) -> StoredKey | None:
        statement = select(api_keys, _is_bound().label("is_bound")).where(api_keys.c.key_id == key_id)
        row = await self._database.read(lambda connection: connection.execute(statement).one_or_none())
        return None if row is None else StoredKey(rows.key_of(row), row.secret_hash, bool(row.is_bound))

    async def keys(
        self, organization_id: str, user_id: str, after: tuple[int, str], limit: int
    ) -> Sequence[Key]:
        place = tuple_(api_keys.c.create_ns, api_keys.c.key_id)
        conditions: list[ColumnElement[bool]] = [place > tuple_(*after)]
        if organization_id:
            conditions.append(api_keys.c.organization_id == organization_id)
        if user_id:
            conditions.append(api_keys.c.user_id == user_id)
        statement = (
            select(api_keys).where(*conditions).order_by(api_keys.c.create_ns, api_keys.c.key_id).limit(limit)
        )
        found = await self._database.read(lambda connection: connection.execute(statement).all())
        return [rows.key_of(row) for row in found]

    async def rename_key(self, key_id: str, display_name: str) -> Key:
        return await self._change_key(key_id, display_name=display_name)

    async def revoke_key(self, key_id: str, now_ns: int) -> Key:
        return await self._change_key(key_id, revoke_ns=func.coalesce(api_keys.c.revoke_ns, now_ns))

    async def _change_key(self, key_id: str, **values: Any) -> Key:
        def body(connection: Connection) -> Key:
            connection.execute(update(api_keys).where(api_keys.c.key_id == key_id).values(**values))
            row = connection.execute(select(api_keys).where(api_keys.c.key_id == key_id)).one_or_none()
            if row is None:
                raise UnknownResourceError(f"no key {key_id}")
            return rows.key_of(row)

        return await self._database.write(body)


def _is_bound() -> ColumnElement[bool]:
    return exists().where(
        budgets.c.organization_id == api_keys.c.organization_id,
        budgets.c.user_id.in_(["", api_keys.c.user_id]),
        budgets.c.key_id.in_(["", api_keys.c.key_id]),
        budgets.c.soft.is_(False),
    )


def _require_account(connection: Connection, organization_id: str, user_id: str) -> Account:
    statement = select(accounts).where(
        accounts.c.organization_id == organization_id, accounts.c.user_id == user_id
    )
    row = connection.execute(statement).one_or_none()
    if row is None:
        raise UnknownResourceError(f"no account {_account_name(Account(organization_id, user_id))}")
    return rows.account_of(row)


def _key_row(key: Key, secret_hash: bytes) -> dict[str, Any]:
    return {
        "key_id": key.key_id,
        "organization_id": key.organization_id,
        "user_id": key.user_id,
        "display_name": key.display_name,
        "secret_hash": secret_hash,
        "create_ns": key.create_ns,
        "expire_ns": key.expire_ns,
        "revoke_ns": key.revoke_ns,
    }


def _account_name(account: Account) -> str:
    return "/".join(filter(None, (account.organization_id, account.user_id)))
