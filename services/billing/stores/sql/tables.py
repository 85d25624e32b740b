"""The schema. Times are nanoseconds and days are counted since 1970-01-01 UTC; money is nano-USD."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    Table,
    Text,
    text,
)

metadata = MetaData(
    naming_convention={"pk": "pk_%(table_name)s", "ix": "ix_%(table_name)s_%(column_0_N_name)s"}
)


def _name(column: str, *, primary_key: bool = False) -> Column[str]:
    return Column(column, Text, primary_key=primary_key, nullable=False)


def _number(column: str, *, nullable: bool = False) -> Column[int]:
    return Column(column, BigInteger, nullable=nullable)


accounts = Table(
    "accounts",
    metadata,
    _name("organization_id", primary_key=True),
    _name("user_id", primary_key=True),
    _name("display_name"),
    _number("create_ns"),
)

api_keys = Table(
    "api_keys",
    metadata,
    _name("key_id", primary_key=True),
    _name("organization_id"),
    _name("user_id"),
    _name("display_name"),
    Column("secret_hash", LargeBinary, nullable=False),
    _number("create_ns"),
    _number("expire_ns", nullable=True),
    _number("revoke_ns", nullable=True),
    Index("ix_api_keys_account", "organization_id", "user_id"),
    Index("ix_api_keys_create_ns", "create_ns", "key_id"),
)

# Versions added by the API, and every other version that an entry names: what was applied can always be looked up.
prices = Table(
    "prices",
    metadata,
    _name("price_id", primary_key=True),
    _name("provider"),
    _name("model"),
    _name("organization_id"),
    _number("effective_ns", nullable=True),
    _name("tiers"),
    _number("request_nanos"),
    Column("source", SmallInteger, nullable=False),
    _number("sequence"),
)

budgets = Table(
    "budgets",
    metadata,
    _name("budget_id", primary_key=True),
    _name("organization_id"),
    _name("user_id"),
    _name("key_id"),
    _number("limit_nanos"),
    Column("period", SmallInteger, nullable=False),
    Column("soft", Boolean, nullable=False),
    _name("alert_percents"),
    Column("source", SmallInteger, nullable=False),
    _name("etag"),
    # The sum over open and orphaned holds that the budget binds.
    _number("held_nanos"),
    Index("ix_budgets_organization_id", "organization_id"),
)

# The sum over the entries of one period of a budget; `period_day` is its first day.
budget_spending = Table(
    "budget_spending",
    metadata,
    _name("budget_id", primary_key=True),
    Column("period_day", Integer, primary_key=True, autoincrement=False),
    _number("spent_nanos"),
)

holds = Table(
    "holds",
    metadata,
    _name("hold_id", primary_key=True),
    _name("organization_id"),
    _name("user_id"),
    _name("key_id"),
    _number("amount_nanos"),
    Column("state", SmallInteger, nullable=False),
    _number("create_ns"),
    _number("expire_ns"),
    Column("digest", LargeBinary, nullable=False),
    # Of the holds that ever were, few are unresolved. So it is on PostgreSQL too, where only the migration says it: an option
    # of a dialect loads the dialect, which SQLite can spare.
    Index("ix_holds_unresolved", "state", "expire_ns", sqlite_where=text("state <= 2")),
)

# One immutable row per attempt; triggers refuse every change.
ledger = Table(
    "ledger",
    metadata,
    _name("attempt_id", primary_key=True),
    _name("completion_id"),
    _name("hold_id"),
    _name("organization_id"),
    _name("user_id"),
    _name("key_id"),
    _name("provider"),
    _name("model"),
    _name("requested_model"),
    _number("input_tokens"),
    _number("output_tokens"),
    _number("cache_read_tokens"),
    _number("cache_write_tokens"),
    _number("reasoning_tokens"),
    Column("usage_source", SmallInteger, nullable=False),
    Column("cache_status", SmallInteger, nullable=False),
    Column("outcome", SmallInteger, nullable=False),
    _number("start_ns"),
    _number("end_ns"),
    _number("first_token_ns", nullable=True),
    Column("day", Integer, nullable=False),
    _name("labels"),
    _name("end_user_id"),
    _name("service_tier"),
    _number("cost_nanos"),
    _name("price_id"),
    Column("unpriced", Boolean, nullable=False),
    _number("book_ns"),
    Column("digest", LargeBinary, nullable=False),
    Index("ix_ledger_end_ns", "end_ns", "attempt_id"),
    Index("ix_ledger_organization_id", "organization_id", "day"),
    Index("ix_ledger_key_id", "key_id", "day"),
    Index("ix_ledger_day", "day"),
)

# One row. `definitions` grows with every change of budgets and prices, so that processes notice each other's.
revisions = Table(
    "revisions",
    metadata,
    Column("only_row", SmallInteger, primary_key=True, autoincrement=False),
    _number("definitions"),
)
