"""Fills a Headgate with what accumulates over years: keys, ledger rows, cache entries."""

import hashlib
import hmac
import secrets
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing

from bench.contenders.contender import Access
from cli.client import connected
from headgate.billing.v1 import billing_service_pb2, usage_pb2
from headgate.billing.v1.billing_service_pb2_grpc import BillingServiceStub
from headgate.cache.v1 import cache_service_pb2
from headgate.cache.v1.cache_service_pb2_grpc import CacheServiceStub
from headgate.common.v1 import cache_status_pb2, outcome_pb2
from headgate.common.v1 import usage_pb2 as tokens_pb2
from headgate.common.v1.caller_pb2 import Caller

_RECORDS = 1000
_COPIES_PER_COMMIT = 50_000
_ENTRIES_PER_CALL = 128
_TIMEOUT_SECONDS = 60.0
_ORGANIZATIONS = 100
_DAYS = 30
_VALUE = b"an answer of the usual length " * 20


def add_keys(access: Access, count: int, organization: str) -> tuple[str, ...]:
    """Keys of one user, written to the embedded ledger directly: its API makes one at a time.

    Only their hashes are kept, as billing itself does it.
    """
    now_ns, tokens, rows = time.time_ns(), [], []
    for _ in range(count):
        key_id, secret = secrets.token_hex(8), secrets.token_hex(20)
        digest = hmac.new(access.pepper.encode(), secret.encode(), hashlib.sha256).digest()
        rows.append((key_id, organization, "user", "", digest, now_ns))
        tokens.append(f"hg_{key_id}_{secret}")
    columns = "key_id, organization_id, user_id, display_name, secret_hash, create_ns"
    with closing(sqlite3.connect(access.data_dir / "billing.db", timeout=30)) as ledger, ledger:
        ledger.executemany(f"INSERT INTO api_keys ({columns}) VALUES (?, ?, ?, ?, ?, ?)", rows)  # noqa: S608
    return tuple(tokens)


def add_ledger_rows(access: Access, count: int) -> None:
    """Usage of other organisations over the last month: some through the API, and copies of it in the embedded ledger."""
    with connected("billing", access.addresses.grpc["billing"], access.token) as billing:
        records = [_record(index) for index in range(min(count, _RECORDS))]
        request = billing_service_pb2.RecordUsageRequest(records=records)
        billing.call(BillingServiceStub(billing.channel).RecordUsage, request)
    with closing(sqlite3.connect(access.data_dir / "billing.db", timeout=30)) as ledger:
        columns = [str(column[1]) for column in ledger.execute("PRAGMA table_info(ledger)")]
        copied = ", ".join("lower(hex(randomblob(16)))" if name == "attempt_id" else name for name in columns)
        # A transaction each, so that billing's own writes find room between them.
        for size in _parts(count - len(records), _COPIES_PER_COMMIT):
            with ledger:
                ledger.execute(
                    f"INSERT INTO ledger ({', '.join(columns)}) SELECT {copied} FROM "  # noqa: S608 - its own names
                    "(SELECT * FROM ledger WHERE provider = 'seed' ORDER BY attempt_id LIMIT 1000), "
                    "(SELECT 1 FROM ledger AS many LIMIT (? + 999) / 1000) LIMIT ?",
                    (size, size),
                )


def add_cache_entries(access: Access, count: int) -> None:
    with connected("cache", access.addresses.grpc["cache"], access.token) as cache:
        stub = CacheServiceStub(cache.channel)
        for size in _parts(count, _ENTRIES_PER_CALL):
            entries = [_entry(index) for index in range(size)]
            request = cache_service_pb2.BatchStoreRequest(requests=entries)
            answer = cache.call(stub.BatchStore, request, timeout_seconds=_TIMEOUT_SECONDS)
            if not all(result.response.stored for result in answer.results):
                raise RuntimeError("the cache did not keep an entry")


def _parts(count: int, largest: int) -> Iterator[int]:
    for begun in range(0, count, largest):
        yield min(largest, count - begun)


def _record(index: int) -> usage_pb2.UsageRecord:
    made = usage_pb2.UsageRecord(
        attempt_id=secrets.token_hex(16),
        completion_id=secrets.token_hex(16),
        caller=Caller(organization_id=f"seed-{index % _ORGANIZATIONS:03d}", user_id="user"),
        provider="seed",
        model="seed-model",
        requested_model="seed-model",
        usage=tokens_pb2.TokenUsage(
            input_tokens=50, output_tokens=64, source=tokens_pb2.USAGE_SOURCE_PROVIDER
        ),
        cache_status=cache_status_pb2.CACHE_STATUS_MISS,
        outcome=outcome_pb2.OUTCOME_COMPLETE,
    )
    ended = int(time.time()) - secrets.randbelow(_DAYS * 86400)
    made.start_time.seconds, made.end_time.seconds = ended - 1, ended
    return made


def _entry(index: int) -> cache_service_pb2.StoreRequest:
    return cache_service_pb2.StoreRequest(
        key=secrets.token_bytes(32),
        caller=Caller(organization_id=f"seed-{index % _ORGANIZATIONS:03d}", user_id="user"),
        value=_VALUE,
    )
