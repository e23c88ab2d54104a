"""What `octet engine` shows: each answer as JSON for programs and as lines for people."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import click
from rich.filesize import decimal

from app.cli.model_tables import print_table
from engines.tensorrt.build_apart import Checked
from engines.tensorrt.plans import NO_DEVICE, Plan, Target
from engines.tensorrt.refusal import listed


def checked_json(name: str, one: Checked) -> dict[str, Any]:
    """A model: whether it is taken and by whom, each refusal, and the precision of each convolution and product."""
    return {"model": name, "taken": not one.refusals, **asdict(one)}


def print_checked(answers: Mapping[str, Checked]) -> None:
    """Who takes a model, and what must be set to build it; or each reason why not, with what mends it."""
    for name, one in answers.items():
        if one.refusals:
            click.echo(f"{name}: {_library(one.target)} refuses it")
            for line in listed(one.refusals):
                click.echo(f"  {line}")
        else:
            click.echo(f"{name}: {_library(one.target)} takes it: {_counted(one.precisions)}")
            if one.needs:
                click.echo(f"  {one.needs}")


def plan_told(plan: Plan) -> str:
    """What was built, for which device, and how long it took."""
    target, facts = plan.made.target, plan.facts
    what = f"{_library(target)} for {_device(target)}, {decimal(plan.bytes)}, built in {facts.seconds} s"
    return f"{what}: {_counted(facts.precisions)}"


def plan_json(name: str, plan: Plan) -> dict[str, Any]:
    """A plan, all that its sidecar says. `model` is null where no version has its variant any more."""
    return {"model": name or None, "key": plan.made.key, **asdict(plan), "path": str(plan.path)}


def print_plans(plans: Sequence[tuple[str, Plan]]) -> None:
    """A line a plan."""
    rows = [
        (
            name or "(gone)",
            _library(plan.made.target),
            _device(plan.made.target),
            f"{plan.made.settings.rows.least} to {plan.made.settings.rows.most}",
            decimal(plan.bytes),
            f"{plan.facts.seconds} s",
            plan.made.key[:12],
        )
        for name, plan in plans
    ]
    print_table(("model", "built by", "for", "rows", "size", "took", "plan"), rows)


def _library(target: Target) -> str:
    return f"{target.module.replace('_', '-')} {target.version}"


def _device(target: Target) -> str:
    return "any RTX card" if target.device == NO_DEVICE else target.device


def _counted(precisions: Mapping[str, str]) -> str:
    """`5 in int8, 1 in fp16`."""
    counts = sorted(Counter(precisions.values()).items())
    return ", ".join(f"{count} products in {precision}" for precision, count in counts) or "no products"
