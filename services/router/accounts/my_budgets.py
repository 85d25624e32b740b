"""A budget that binds a caller as the caller is told of it."""

from headgate.billing.v1 import budget_pb2
from headgate.router.v1 import mine_pb2


def budget_told(budget: budget_pb2.Budget) -> mine_pb2.MyBudget:
    return mine_pb2.MyBudget(
        budget_id=budget.budget_id,
        scope=_bound_together(budget),
        limit_nanos=budget.limit_nanos,
        spent_nanos=budget.spent_nanos,
        held_nanos=budget.held_nanos,
        remaining_nanos=max(0, budget.limit_nanos - budget.spent_nanos - budget.held_nanos),
        period=budget.period,
        reset_time=budget.reset_time if budget.HasField("reset_time") else None,
        soft=budget.soft,
    )


def _bound_together(budget: budget_pb2.Budget) -> mine_pb2.Scope.ValueType:
    if budget.key_id:
        return mine_pb2.SCOPE_KEY
    return mine_pb2.SCOPE_USER if budget.user_id else mine_pb2.SCOPE_ORGANIZATION
