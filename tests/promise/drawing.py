"""Draws a run: who may use how much of what, and who asks for what, all by one seed."""

import math
import random
from dataclasses import replace

from google.protobuf.duration_pb2 import Duration

from headgate.billing.v1 import budget_pb2
from headgate.ratelimit.v1 import limit_pb2
from headgate.router.v1 import completion_pb2
from tests.promise.asking import draw_request
from tests.promise.plans import PricePlan, PriceTier, RequestPlan, RunPlan, TargetPlan, key_name
from tests.promise.provider import PROVIDERS, Manner, draw_behaviour, most_input

_UNASKED_OUTPUT = 200
"""Expected of a request that does not say how much it wants; see `running.ENVIRON`."""
_AGAIN_SECONDS = 0.15
_MILLION = 1_000_000
_DAY = 86_400
_ENDLESS = Duration(seconds=366 * _DAY)
_METRICS = [
    limit_pb2.METRIC_REQUESTS,
    limit_pb2.METRIC_INPUT_TOKENS,
    limit_pb2.METRIC_OUTPUT_TOKENS,
    limit_pb2.METRIC_TOTAL_TOKENS,
    limit_pb2.METRIC_COST_NANOS,
]
_DIMENSIONS = [
    limit_pb2.DIMENSION_ORGANIZATION,
    limit_pb2.DIMENSION_USER,
    limit_pb2.DIMENSION_KEY,
    limit_pb2.DIMENSION_MODEL,
]
_POLICIES = [
    limit_pb2.STORE_LOSS_POLICY_UNSPECIFIED,
    limit_pb2.STORE_LOSS_POLICY_OPEN,
    limit_pb2.STORE_LOSS_POLICY_CLOSED,
]
_PERIODS = [budget_pb2.BUDGET_PERIOD_TOTAL, budget_pb2.BUDGET_PERIOD_DAY, budget_pb2.BUDGET_PERIOD_MONTH]


def draw_run(seed: int, nonce: str = "", *, slow: bool = False) -> RunPlan:
    """`nonce` keeps runs of one seed apart where stores outlive them; `slow`: most answers take seconds."""
    rng = random.Random(seed)  # noqa: S311 - a choice of what is tried
    run = f"r{nonce}{seed}"
    users = tuple(rng.choices(["", "ada", "bob"], k=rng.randint(1, 3)))
    targets = {each.target_id: each for each in _targets(rng, run)}
    models = {f"{run}-{name}": rng.sample(list(targets), rng.randint(1, len(targets))) for name in "ab"}
    plan = RunPlan(seed, run, users, targets, models, (), (), ())
    plan = replace(plan, requests=_requests(rng, plan, slow=slow))
    limits = tuple(_limit(rng, plan, number) for number in range(rng.choice([0, 1, 1, 2, 2, 3])))
    budgets = tuple(_budget(rng, plan, number) for number in range(rng.choice([0, 1, 1, 2])))
    return replace(plan, limits=limits, budgets=budgets)


def _targets(rng: random.Random, run: str) -> list[TargetPlan]:
    return [
        TargetPlan(
            f"{run}-{number}",
            rng.choice(list(PROVIDERS)),
            f"sim-{run}-{number}",
            context_window=rng.choice([None, None, 2_000, 20_000]),
            max_output_tokens=rng.choice([None, None, 80, 300]),
            most_tokens_per_image=rng.choice([None, 100, 1_500]),
            price=None if rng.random() < 0.07 else _price(rng),
        )
        for number in range(rng.choice([1, 2, 2, 3]))
    ]


def _price(rng: random.Random) -> PricePlan:
    bounds = [0, *sorted(rng.sample([50, 100, 1_000, 5_000], rng.choice([0, 0, 1, 2])))]
    tiers = tuple(
        PriceTier(
            bound,
            _rate(rng),
            _rate(rng),
            cache_read=rng.choice([None, _rate(rng)]),
            cache_write=rng.choice([None, _rate(rng)]),
        )
        for bound in bounds
    )
    return PricePlan(tiers, rng.choice([0, 0, 1_000_000]))


def _rate(rng: random.Random) -> int:
    """From a tenth of a dollar to 50, to the thousandth."""
    return rng.randint(100, 50_000) * 1_000_000


def _requests(rng: random.Random, plan: RunPlan, *, slow: bool) -> tuple[RequestPlan, ...]:
    manner = Manner(fails=rng.choice([0.0, 0.1, 0.3, 0.6]), greedy=rng.random() < 0.3, slow=slow)
    count = rng.choice([5, 6, 7, 8, 9, 10, 12, 15, 20, 30])
    planned = [_planned(rng, plan, number, manner) for number in range(count)]
    again = [_again(each, number) for number, each in enumerate(planned, count) if rng.random() < 0.15]
    return (*planned, *again)


def _again(earlier: RequestPlan, number: int) -> RequestPlan:
    """The same question a little later, which the cache may answer."""
    request = completion_pb2.CompletionRequest()
    request.CopyFrom(earlier.request)
    request.end_user_id = f"{request.end_user_id.rpartition('.')[0]}.{number}"
    request.cache.mode = completion_pb2.CACHE_MODE_ON
    later = earlier.after_seconds + _AGAIN_SECONDS
    return replace(earlier, request=request, after_seconds=later, leaves_after=None, deadline=None)


def _planned(rng: random.Random, plan: RunPlan, number: int, manner: Manner) -> RequestPlan:
    request = draw_request(rng, plan, f"{plan.organization_id}.{number}")
    if manner.slow and request.max_output_tokens:
        request.max_output_tokens = rng.randint(50, 200)
    # Where it goes is the router's to say, so what a provider may count is drawn within the least of the targets.
    names = (request.model, *request.fallback_models)
    may_answer = [plan.targets[target_id] for name in names for target_id in plan.models[name]]
    strictest = min(may_answer, key=lambda target: most_input(request, target) or math.inf)
    behaviours = tuple(draw_behaviour(rng, request, strictest, manner) for _ in may_answer)
    leaves, longest = rng.random(), 3.0 if manner.slow else 0.2
    return RequestPlan(
        request,
        caller=rng.randrange(len(plan.users)),
        streamed=rng.random() < 0.6,
        after_seconds=rng.choice([0.0, 0.0, rng.uniform(0, longest)]),
        leaves_after=rng.uniform(0.001, longest) if leaves < 0.15 else None,
        deadline=rng.uniform(0.01, longest) if 0.15 <= leaves < 0.25 else None,
        behaviours=behaviours,
    )


def _limit(rng: random.Random, plan: RunPlan, number: int) -> limit_pb2.Limit:
    metric = rng.choice(_METRICS)
    limit = limit_pb2.Limit(
        limit_id=f"{plan.organization_id}/{number}",
        per=rng.sample(_DIMENSIONS, rng.choice([0, 0, 1, 2])),
        metric=metric,
        shadow=rng.random() < 0.2,
        store_loss_policy=rng.choice(_POLICIES),
    )
    # Whatever else it selects by, it binds this run alone.
    if rng.random() < 0.7:
        limit.selector.organization_id = plan.organization_id
    else:
        limit.selector.labels["run"] = plan.organization_id
    caller = rng.randrange(len(plan.users))
    match rng.choice(["all", "all", "user", "key", "model", "label"]):
        case "user":
            limit.selector.user_id = plan.users[caller]
        case "key":
            limit.selector.key_id = key_name(caller)
        case "model":
            limit.selector.model = rng.choice(list(plan.models))
        case "label":
            limit.selector.labels["team"] = rng.choice(["red", "blue"])
    maximum = max(1, _part_of_all(rng, plan, metric))
    if rng.random() < 0.3:
        limit.token_bucket.refill_amount = 1
        limit.token_bucket.refill_interval.CopyFrom(_ENDLESS)
        limit.token_bucket.burst = maximum
    else:
        limit.sliding_window.maximum = maximum
        limit.sliding_window.window.FromSeconds(rng.choice([1, 60, 3_600, _DAY, 30 * _DAY]))
    return limit


def _budget(rng: random.Random, plan: RunPlan, number: int) -> budget_pb2.Budget:
    caller = rng.randrange(len(plan.users))
    scope = rng.choice(["organization", "user", "key"])
    return budget_pb2.Budget(
        budget_id=f"{plan.organization_id}/{number}",
        organization_id=plan.organization_id,
        user_id=plan.users[caller] if scope == "user" else "",
        key_id=key_name(caller) if scope == "key" else "",
        limit_nanos=_part_of_all(rng, plan, limit_pb2.METRIC_COST_NANOS),
        period=rng.choice(_PERIODS),
        soft=rng.random() < 0.25,
    )


def _part_of_all(rng: random.Random, plan: RunPlan, metric: limit_pb2.Metric.ValueType) -> int:
    """What some of the requests use at most: no more than they may fit."""
    some = rng.sample(plan.requests, round(rng.choice([0.05, 0.2, 0.5, 1.0]) * len(plan.requests)))
    return sum(_most(plan, each, metric) for each in some)


def _most(plan: RunPlan, asked: RequestPlan, metric: limit_pb2.Metric.ValueType) -> int:
    target = plan.targets[plan.models[asked.request.model][0]]
    inputs = most_input(asked.request, target) or _UNASKED_OUTPUT
    outputs = (asked.request.max_output_tokens or _UNASKED_OUTPUT) * (asked.request.choice_count or 1)
    match metric:
        case limit_pb2.METRIC_REQUESTS:
            return 1
        case limit_pb2.METRIC_INPUT_TOKENS:
            return inputs
        case limit_pb2.METRIC_OUTPUT_TOKENS:
            return outputs
        case limit_pb2.METRIC_TOTAL_TOKENS:
            return inputs + outputs
        case _:
            return 0 if target.price is None else _most_cost(target.price, inputs, outputs)


def _most_cost(price: PricePlan, inputs: int, outputs: int) -> int:
    reached = [tier for tier in price.tiers if tier.min_input_tokens <= inputs]
    millionths = max(inputs * tier.input + outputs * tier.output for tier in reached)
    return -(-millionths // _MILLION) + price.request_nanos
