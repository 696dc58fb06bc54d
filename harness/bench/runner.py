"""Trainings and evaluations of one comparison, each done only if it is missing.

Seed by seed rather than method by method: stopped early, every method has been trained equally often. What a method
cannot do costs its own row, not the others'. Everything that is finished is in the registry or the store, so that the
same call goes on wherever it was stopped.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from harness.bench.spec import Arm, BenchSpec, Kind, Member, Planned, Trainer
from harness.errors import HarnessError, Interrupted, PrerequisiteError, TooManyFailures, UsageError
from harness.registry import SCHEME, ModelCard
from harness.run.pipeline import Outcome, check_failures
from harness.spent import Counted

Key = tuple[str, int]
"""Method and seed."""
Say = Callable[[str], None]
Evaluate = Callable[[str], Outcome]
"""Evaluates one model, named by its spec, on all suites."""


_UNEQUAL = 0.05
"""Relative difference of what two methods were trained with from which it is said."""


@dataclass(frozen=True)
class ReadyBench:
    """A comparison whose trainings are planned."""

    spec: BenchSpec
    trainer: Trainer
    trainings: Mapping[Key, Planned]
    failures: Mapping[str, str]
    """Method -> why it cannot begin."""


def preflight(spec: BenchSpec, trainer: Trainer) -> ReadyBench:
    """Plan every training before anything is spent.

    Raises what is wrong with the command itself (`UsageError`, `PrerequisiteError`) and, if no method can begin, the
    first reason why.
    """
    plans: dict[Key, Planned] = {}
    failures: dict[str, HarnessError] = {}
    for method in spec.methods:
        try:
            first = trainer.plan(method, 0)
            plans |= {(method, seed): trainer.plan(method, seed) if seed else first for seed in range(spec.seeds)}
        except (UsageError, PrerequisiteError):
            raise
        except HarnessError as error:
            failures[method] = error
    if not plans:
        raise next(iter(failures.values()))
    return ReadyBench(spec, trainer, plans, {method: str(error) for method, error in failures.items()})


def unequal(trainings: Mapping[Key, Planned]) -> list[str]:
    """One line for each setting in which the methods differ: it is then part of what is compared."""
    values: dict[str, dict[str, str]] = {}
    for (method, _), planned in trainings.items():
        for name, value in planned.settings.items():
            values.setdefault(name, {})[method] = value
    return [
        f"the methods differ in {name} ({', '.join(f'{method} {value}' for method, value in own.items())}): "
        f"--set {name}=… makes them equal"
        for name, own in values.items()
        if len(set(own.values())) > 1
    ]


def unequal_budgets(arms: Sequence[Arm], budget: str | None, counted: Counted = "student") -> list[str]:
    """A line if some method took more than another: of the tokens that count, or of time if that is the budget."""
    timed = budget is not None and not budget.strip().lower().endswith("tok")
    unit = "seconds" if timed else "tokens"
    spent = {
        arm.name: sum(cards) / len(cards)
        for arm in arms
        if arm.kind == "method"
        and (cards := [_took(member.card, timed, counted) for member in arm.members if member.card is not None])
    }
    if len(spent) < 2:
        return []
    (least, low), (most, high) = (choose(spent.items(), key=lambda item: item[1]) for choose in (min, max))
    if low <= 0 or high <= (1.0 + _UNEQUAL) * low:
        return []
    return [
        f"the budgets differ: {most} was trained with {high:,.0f} {unit}, {least} with {low:,.0f} "
        f"({high / low - 1.0:.0%} more): part of a difference may be that"
    ]


def _took(card: ModelCard, timed: bool, counted: Counted) -> float:
    if timed:
        return card.seconds or 0.0
    return (card.tokens or 0) if card.spent is None else card.spent.counted(counted)


def train_all(bench: ReadyBench, say: Say) -> tuple[dict[Key, ModelCard], dict[str, list[str]]]:
    """Train what is missing. Returns the cards, and why those of a method are missing."""
    spec, trainings = bench.spec, bench.trainings
    cards: dict[Key, ModelCard] = {}
    failures: dict[str, list[str]] = {method: [] for method in spec.methods}
    for method, reason in bench.failures.items():
        failures[method].append(reason)
        say(f"{method}: {reason}; the other methods go on")
    for line in unequal(trainings):
        say(line)
    jobs = [(method, seed) for seed in range(spec.seeds) for method in spec.methods if (method, seed) in trainings]
    for number, (method, seed) in enumerate(jobs, 1):
        where = f"[{number}/{len(jobs)}] {method}, seed {seed}"
        planned = trainings[method, seed]
        if not planned.finished:
            say(f"{where}: training {planned.model_id}, {planned.steps} steps, about {planned.tokens:,} tokens")
        try:
            cards[method, seed] = bench.trainer.train(method, seed)
        except Interrupted:
            raise
        except HarnessError as error:
            failures[method].append(f"seed {seed}: {error}")
            say(f"{where}: failed: {error}")
    return cards, failures


def run_bench(bench: ReadyBench, evaluate: Evaluate, say: Say) -> tuple[Arm, ...]:
    """All rows: the methods in the order given, the untrained student, the teacher, further models.

    Raises `Interrupted` as training and evaluation do; all that was finished is kept.
    """
    spec = bench.spec
    cards, failures = train_all(bench, say)
    rows: list[tuple[str, Kind, list[Member], list[str]]] = []
    for method in spec.methods:
        trained = [(seed, cards[method, seed]) for seed in range(spec.seeds) if (method, seed) in cards]
        rows.append(
            (method, "method", [Member(SCHEME + card.id, seed, card) for seed, card in trained], failures[method])
        )
    rows.append((f"untrained {_short(spec.student)}", "student", [Member(spec.student, None)], []))
    if spec.teacher is not None:
        rows.append((f"teacher {_short(spec.teacher)}", "teacher", [Member(spec.teacher, None)], []))
    rows += [(model, "model", [Member(model, None)], []) for model in spec.models]
    for place in range(spec.seeds):  # seed by seed
        for _, _, members, reasons in rows:
            if place < len(members):
                members[place], missing = evaluate_member(members[place], evaluate, spec)
                reasons += missing
    return tuple(Arm(name, kind, tuple(members), tuple(reasons)) for name, kind, members, reasons in rows)


def _short(model: str) -> str:
    """The last part of a spec that is a path."""
    return model.rstrip("/").rpartition("/")[2] or model


def evaluate_member(member: Member, evaluate: Evaluate, spec: BenchSpec) -> tuple[Member, list[str]]:
    """The model with its runs, and why some are missing."""
    name = "" if member.seed is None else f"seed {member.seed}: "
    try:
        outcome = evaluate(member.model)
    except Interrupted:
        raise
    except HarnessError as error:
        return member, [f"{name}{error}"]
    runs = {result.suite: result for result in outcome.results if result.judge is None}
    judged = {result.suite: result for result in outcome.results if result.judge is not None}
    failures = []
    try:
        check_failures(outcome, spec.evaluation.max_failures)
    except TooManyFailures as error:
        failures.append(f"{name}{error}")
    return replace(member, runs=runs, judged=judged), failures


def check_arms(arms: tuple[Arm, ...]) -> None:
    """Raise `TooManyFailures` if a row lacks anything, once everything else has been shown."""
    failed = [f"{arm.name}: {reason}" for arm in arms for reason in arm.failures]
    if failed:
        raise TooManyFailures(f"{'; '.join(failed)}. Run the same command again to try only these")
