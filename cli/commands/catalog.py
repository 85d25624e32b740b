"""`headgate models` and `headgate targets`: what can be asked, and how the providers are."""

from cli.options import DEFAULT_DATA_DIR, DataDir, Json, Router, peer


def models(as_json: Json = False, router: Router = None, data_dir: DataDir = DEFAULT_DATA_DIR) -> None:
    """List the models and aliases that can be asked."""
    from cli import output
    from headgate.router.v1 import router_service_pb2 as pb
    from headgate.router.v1.router_service_pb2_grpc import RouterServiceStub

    with peer("router", router, data_dir) as asked:
        found = asked.call(RouterServiceStub(asked.channel).ListModels, pb.ListModelsRequest()).models
    if as_json:
        return output.print_json_list(found)
    table = output.table("Model", "Targets, in order", ">Context", ">Longest answer", "Can")
    for model in found:
        table.add_row(
            model.model_id,
            ", ".join(model.target_ids),
            f"{model.context_window:,}" if model.HasField("context_window") else "-",
            f"{model.max_output_tokens:,}" if model.HasField("max_output_tokens") else "-",
            ", ".join(output.word(pb.Capability, each) for each in model.capabilities),
        )
    return output.stdout().print(table)


_COLORS = {
    "healthy": "green",
    "half open": "yellow",
    "cooling down": "yellow",
    "open": "red",
    "disabled": "red",
}


def targets(as_json: Json = False, router: Router = None, data_dir: DataDir = DEFAULT_DATA_DIR) -> None:
    """List the provider targets and whether each takes requests."""
    from cli import output
    from headgate.router.v1 import router_service_pb2 as pb
    from headgate.router.v1.router_service_pb2_grpc import RouterServiceStub

    with peer("router", router, data_dir) as asked:
        found = asked.call(RouterServiceStub(asked.channel).ListTargets, pb.ListTargetsRequest()).targets
    if as_json:
        return output.print_json_list(found)
    table = output.table(
        "Target", "Provider", "Model", "State", ">In flight", ">Failures", "Why", "Tried again"
    )
    for target in found:
        state = output.word(pb.TargetState, target.state)
        table.add_row(
            target.target_id,
            target.provider,
            target.model,
            output.styled((state, _COLORS.get(state, "default"))),
            str(target.in_flight),
            str(target.consecutive_failures),
            target.reason,
            output.moment(target.retry_time) if target.HasField("retry_time") else "",
        )
    return output.stdout().print(table)
