"""What every Headgate process needs and no service owns.

A service's `__main__.py` is a `compose` function and a call of `process.run.run`:

    async def compose(settings: CacheSettings, shared: SharedSettings, telemetry: Telemetry) -> Application:
        store = MemoryStore(settings.max_bytes)
        servicer = CacheServicer(store)
        return Application(
            [Service("headgate.cache.v1.CacheService", partial(add_CacheServiceServicer_to_server, servicer))],
            authenticate=require_internal_token(shared.internal_token),
            trusted_methods=frozenset({"/headgate.cache.v1.CacheService/BatchLookup"}),
            on_stop=[store.close],
        )

    if __name__ == "__main__":
        sys.exit(run("cache", CacheSettings, compose, single_process=keeps_state_in_process, internal=True))

A test serves the same without a process:

    boundary = Boundary("cache", make_telemetry("cache"), authenticate)
    server = GrpcServer(CacheSettings(), services, [GatewayInterceptor(boundary)])
    port = await server.start()
"""
