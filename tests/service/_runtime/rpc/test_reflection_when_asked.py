"""What reflection needs is made for the first who asks: a process that nobody asks pays nothing for it."""

import subprocess
import sys

# In a process of its own: here other tests have asked before.
_ASKED = """
import asyncio
import grpc
from google.protobuf.descriptor_pool import Default
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from services._runtime.configuration.settings import ProcessSettings
from services._runtime.rpc.server import GrpcServer

def is_made():
    try:
        return bool(Default().FindFileByName("grpc/reflection/v1/reflection.proto"))
    except KeyError:
        return False

async def main():
    server = GrpcServer(ProcessSettings(listen="127.0.0.1:0", lame_duck_seconds=0.0, drain_seconds=0.0), [])
    async with grpc.aio.insecure_channel(f"127.0.0.1:{await server.start()}") as channel:
        reflection = reflection_pb2_grpc.ServerReflectionStub(channel)
        asked = [reflection_pb2.ServerReflectionRequest(file_containing_symbol="grpc.reflection.v1.ServerReflection")]
        made = [is_made()]
        async for answer in reflection.ServerReflectionInfo(iter(asked)):
            made.append(answer.HasField("file_descriptor_response") and is_made())
    await server.stop()
    print(made)

asyncio.run(main())
"""


def test_nothing_is_described_before_the_first_question() -> None:
    asked = [sys.executable, "-c", _ASKED]
    done = subprocess.run(asked, capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout == "[False, True]\n", done.stderr
