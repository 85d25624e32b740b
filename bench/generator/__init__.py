"""The load generator: a process of its own, so that its CPU is never the gateway's."""
