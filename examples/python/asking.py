"""What is asked, and as whom."""

import os

from headgate.router.v1 import completion_pb2

REQUEST = completion_pb2.CompletionRequest(model="fast", prompt="Why is the sky blue?")
METADATA = (("authorization", f"Bearer {os.environ['KEY']}"),)
