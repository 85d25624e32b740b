"""A client without files can read the details of an error."""

import asyncio
from typing import Any

import grpc
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase


async def test_the_messages_that_errors_carry_can_be_looked_up(echo: Any) -> None:
    def look_up() -> list[str]:
        with grpc.insecure_channel(echo.address) as channel:
            pool = DescriptorPool(ProtoReflectionDescriptorDatabase(channel))
            names = ("ErrorInfo", "BadRequest", "QuotaFailure", "RetryInfo")
            return [pool.FindMessageTypeByName(f"google.rpc.{name}").file.name for name in names]

    assert set(await asyncio.to_thread(look_up)) == {"google/rpc/error_details.proto"}
