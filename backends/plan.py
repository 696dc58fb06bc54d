"""What a training run will do, found out before anything is spent: data, settings, steps, and one example to look at.

Everything that can be wrong with a method's options, the records, the tokenizer or the budget is raised here.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, cast

from backends.base import Stage, TrainMethod, load_method
from backends.config import Settings, TrainConfig, micro_batches
from backends.load import canonical, check_vocabulary, find_weights, load_tokenizer
from backends.options import parse_settings
from backends.records.preflight import odd_lines, preflight
from backends.records.record import TrainRecord, data_hash, data_order, require
from backends.records.segments import Encoder, Tokenised, left_out_lines
from backends.records.source import load_records
from backends.rewards.total import refuse_others
from backends.rollouts.planning import Rolled, context_of, plan_rolling, refuse_unrewarded, weighed
from backends.world import processes
from harness.errors import ConfigError, HarnessError, PrerequisiteError
from harness.hashing import short_hash
from harness.models.hf_source import Source
from harness.models.openai_servers import addresses_of
from harness.registry import make_id
from harness.types import Json

_SHOWN = 400
"""Characters of a segment that a dry run prints."""


@dataclass(frozen=True)
class StagePlan:
    """One stage, resolved."""

    stage: Stage
    settings: Settings
    data: Tokenised
    steps: int
    """Optimiser steps planned; a budget may end it a little sooner."""
    micro_batch: int
    accumulation: int
    """Micro-batches that one device adds up before each optimiser step."""
    budget_tokens: float | None
    """Tokens after which this stage ends, counted from the beginning of the first stage."""
    budget_seconds: float | None
    rolled: Rolled | None = None
    """What the student draws, where its responses are what it is trained on; `data` are the prompts then."""

    @property
    def tokens(self) -> int:
        """Tokens of all sequences of all examples: one epoch."""
        return sum(len(sequence.ids_T) for example in self.data.examples for sequence in example.sequences)

    @property
    def steps_per_epoch(self) -> int:
        """Optimiser steps; an epoch's last one has the examples that are left."""
        if self.rolled is not None:
            return self.rolled.steps(1)
        return math.ceil(len(self.data.examples) / self.settings.batch_size)

    @property
    def tokens_per_step(self) -> float:
        """Mean over an epoch's steps; of completions, the most that there can be."""
        if self.rolled is not None:
            return self.rolled.tokens_per_step(self.settings.batch_size)
        return self.tokens / self.steps_per_epoch

    @property
    def tokens_planned(self) -> float:
        """That all steps read; of completions, the most, which a budget may end long before."""
        most = self.steps * self.tokens_per_step
        return most if self.rolled is None or self.budget_tokens is None else min(most, self.budget_tokens)


@dataclass(frozen=True)
class Plan:
    """A training run, resolved."""

    config: TrainConfig
    method: TrainMethod
    options: Any
    source: Source
    tokenizer: Any
    encoder: Encoder
    records: int
    data_hash: str
    data_order: str
    """Of the records: what each step sees depends on it, so the weights do."""
    stages: tuple[StagePlan, ...]
    model_id: str
    notes: tuple[str, ...] = ()
    """What is to be said of the student before it is trained."""

    def resolved(self) -> dict[str, Json]:
        """Every setting as it will be used, for the card."""
        stages: dict[str, Json] = {
            plan.stage.name: {
                **asdict(plan.settings),
                **_drawing(plan),
                "steps": plan.steps,
                "micro_batch": plan.micro_batch,
                "accumulation": plan.accumulation,
                "examples": len(plan.data.examples),
                "left_out": {reason: len(ids) for reason, ids in plan.data.left_out.items()},
            }
            for plan in self.stages
        }
        facts: dict[str, Json] = {"options": asdict(self.options), "stages": stages, "data_order": self.data_order}
        return {**self.config.identity(), **facts}


def plan_training(config: TrainConfig, results_dir: Path) -> Plan:
    """Resolve a config. Raises `ConfigError`, `DataError`, `UnknownName` and what loading a tokenizer raises."""
    method = load_method(config.method)
    if not isinstance(method, TrainMethod):
        raise ConfigError(f"{config.method} trains nothing and needs no plan")
    config = replace(config, student=canonical(config.student, results_dir))
    options: Any = parse_settings(method.options, weighed(method.options, config), config.method)
    reads = _reads_teacher(method, options, config)
    stages = method.stages(options)
    refuse_unrewarded(config.method, method.options, stages)
    names = tuple(stage.name for stage in stages)
    settings = {stage.name: config.stage_settings(stage.name, names, stage.settings) for stage in stages}
    _one_adapter(settings)
    records = load_records(config.data)[: config.limit]
    for stage in stages:
        require(records, stage.needs, config.method)
    source = find_weights(config.student, results_dir)
    tokenizer = load_tokenizer(source)
    architecture = _architecture(config, reads, source, settings, results_dir)
    check_vocabulary(source, architecture, tokenizer)
    context = context_of(architecture) or config.max_length
    encoder = _encoder(tokenizer, config, min(config.max_length, context))
    tokenizer.chat_template = encoder.template  # saved with the model: evaluation asks as training did
    digest, order = data_hash(records), data_order(records)
    planned = _plan_stages(config, stages, settings, encoder, architecture, records, config.count == "all" and reads)
    _no_strays(config, planned)
    identity: dict[str, Json] = {
        **config.identity(),
        "student": _placeless(config.student),
        "options": cast(Json, asdict(options)),
        "settings": {name: cast(Json, _lasting(chosen)) for name, chosen in settings.items()},
        "data_hash": digest,
        "data_order": order,
        "weights": source.mark(),
        **_drawn(planned),
        **_files(config, method, encoder, results_dir),
    }
    from harness.models.hf_saving import rehearse_saving

    return Plan(
        config=config,
        method=method,
        options=options,
        source=source,
        tokenizer=tokenizer,
        encoder=encoder,
        records=len(records),
        data_hash=digest,
        data_order=order,
        stages=planned,
        model_id=make_id(_placeless(config.student), config.method, identity),
        notes=(
            *_router_notes(architecture),
            *rehearse_saving(source, tokenizer, whole=any(one.lora_rank is None for one in settings.values())),
        ),
    )


def _reads_teacher(method: TrainMethod, options: Any, config: TrainConfig) -> bool:
    """Raises `ConfigError` if the teacher that it reads is not given, or servers of one that it does not read."""
    reads = method.reads_teacher is not None and method.reads_teacher(options)
    if reads and config.teacher is None:
        raise ConfigError(
            f"{config.method} needs a teacher's weights: --teacher SPEC (options: `harness show {config.method}`)"
        )
    if config.teacher_server is not None:
        if not reads:
            raise ConfigError(f"--teacher-server has no effect: {config.method} reads no teacher's weights")
        addresses_of(config.teacher_server, "--teacher-server")
    return reads


def _architecture(
    config: TrainConfig, reads_teacher: bool, source: Source, settings: Mapping[str, Settings], results_dir: Path
) -> Any:
    """The student's config. Raises `ConfigError` where its scores, or a teacher's that are read, are not plain."""
    from backends.trainers.scores import require_plain_scores
    from backends.trainers.targets import check_planned_targets
    from harness.models.hf_load import load_config

    architecture = load_config(source)
    require_plain_scores(architecture, config.student)
    check_planned_targets(architecture, settings.values())
    if reads_teacher and config.teacher is not None:
        teacher = load_config(find_weights(config.teacher, results_dir))
        require_plain_scores(teacher, config.teacher, "be read as a teacher here")
    return architecture


def _router_notes(config: Any) -> list[str]:
    """A line for the dry run if the student's config declares a balancing loss: no objective has one.

    Each method minimises what its paper says, so that methods stay comparable, and passes for references, teachers and
    candidates must not add to it.
    """
    text = config.get_text_config()
    if not hasattr(text, "output_router_logits"):
        return []
    declared = getattr(text, "router_aux_loss_coef", None)
    told = "" if declared is None else f" (router_aux_loss_coef {declared} of its config)"
    return [
        f"mixture of experts: its load-balancing loss{told} is not in the objective, routers learn from the method's "
        "loss alone; look at the balance of long trainings, or keep the routers fixed with lora_targets"
    ]


def _one_adapter(settings: Mapping[str, Settings]) -> None:
    """Raises `ConfigError` where stages would train other weights: the second goes on with the first one's adapter."""
    for name in ("lora_rank", "lora_alpha", "lora_dropout", "lora_targets"):
        values = {stage: getattr(chosen, name) for stage, chosen in settings.items()}
        if len(set(values.values())) > 1:
            told = ", ".join(f"{stage} {value}" for stage, value in values.items())
            raise ConfigError(f"all stages train the same weights, but {name} differs: {told}. Set it for all at once")


def _placeless(spec: str) -> str:
    """A spec for the id of a model: of a folder its name alone, for its weights are marked and it may be moved."""
    scheme, _, rest = spec.partition(":")
    path = Path(rest)
    return f"hf:{path.name}" if scheme == "hf" and path.is_absolute() else spec


def _files(config: TrainConfig, method: TrainMethod, encoder: Encoder, results_dir: Path) -> dict[str, Json]:
    """What the files that the config names by their place hold, for the id: template, and teacher where it is read."""
    found: dict[str, Json] = {}
    if config.template not in (None, "off"):
        found["template"] = short_hash(str(encoder.template))
    if config.teacher is not None and "teacher logits" in method.needs:
        with suppress(HarnessError):  # stored distributions: the teacher is a name only
            found["teacher"] = find_weights(config.teacher, results_dir).mark()
    return found


def _drawn(stages: Sequence[StagePlan]) -> dict[str, Json]:
    """How completions are drawn and marked, for the id; nothing where none are: ids of other methods stay as they were.

    Of the settings only what differs from the defaults, so that a new one changes no id.
    """
    rolling = {plan.stage.name: plan.rolled for plan in stages if plan.rolled is not None}
    if not rolling:
        return {}
    contexts: dict[str, Json] = {plan.stage.name: told for plan in stages if (told := _context(plan)) is not None}
    return {
        "drawing": {name: cast(Json, rolled.settings.lasting()) for name, rolled in rolling.items()},
        "rewards": {name: cast(Json, rolled.totals.describe()) for name, rolled in rolling.items()},
        **({"contexts": contexts} if contexts else {}),
    }


def _context(plan: StagePlan) -> str | None:
    """What a self-teacher is told, and in which words."""
    rolling = plan.stage.rolling
    told = () if rolling is None else (rolling.context, rolling.revise)
    return "+".join(one.id for one in told if one is not None) or None


def _drawing(plan: StagePlan) -> dict[str, Json]:
    """The same for the card, every value written out."""
    if plan.rolled is None:
        return {}
    told = _context(plan)
    return {
        "rollout": cast(Json, asdict(plan.rolled.settings)),
        "rewards": cast(Json, plan.rolled.totals.describe()),
        **({"context": told} if told is not None else {}),
    }


def _no_strays(config: TrainConfig, stages: Sequence[StagePlan]) -> None:
    """Raises `ConfigError` for settings of drawing that a method without drawing is told."""
    if config.stop_on and not any(plan.rolled is not None for plan in stages):
        raise ConfigError(
            f"--stop-on is about what a student writes while it is trained, and that of {config.method} writes nothing"
        )
    for part, told in (("rollout", config.rollout), ("reward", config.reward)):
        if told and not any(plan.rolled is not None for plan in stages):
            raise ConfigError(
                f"{part}.{next(iter(told))} has no effect: the student of {config.method} draws nothing while it is "
                "trained"
            )
    drawing = [plan.stage.name for plan in stages if plan.rolled is not None]
    for key in config.rollout:
        if (stage := key.rpartition(".")[0]) and stage not in drawing:
            raise ConfigError(
                f"rollout.{key} names no stage of {config.method} whose student draws: {', '.join(drawing)}"
            )
    refuse_others(config.reward, {name: None for plan in stages if plan.rolled for name in plan.rolled.totals.weights})


def _lasting(settings: Settings) -> dict[str, Any]:
    """The settings that decide what comes out; how a step is cut into passes does not."""
    return {name: value for name, value in asdict(settings).items() if name != "micro_batch"}


def _plan_stages(
    config: TrainConfig,
    stages: Sequence[Stage],
    settings: dict[str, Settings],
    encoder: Encoder,
    architecture: Any,
    records: Sequence[TrainRecord],
    teacher_counts: bool,
) -> tuple[StagePlan, ...]:
    """The stages; `teacher_counts`: the budget counts what a teacher reads, which reads along."""
    share = 0.0
    planned = []
    for stage in stages:
        chosen, rolled = settings[stage.name], None
        if stage.rolling is None:
            data = stage.examples(encoder, records)
        else:
            data, rolled = plan_rolling(config, stage, chosen, encoder, architecture, records, processes())
        micro, accumulation = micro_batches(chosen, processes())
        previous, share = share, share + stage.share
        plan = StagePlan(
            stage=stage,
            settings=chosen,
            data=data,
            steps=chosen.max_steps or 0,
            micro_batch=micro,
            accumulation=accumulation,
            budget_tokens=None if config.budget_tokens is None else config.budget_tokens * share,
            budget_seconds=None if config.budget_seconds is None else config.budget_seconds * share,
            rolled=rolled,
        )
        if chosen.max_steps is None and config.budget_tokens is not None:
            own = config.budget_tokens * (share - previous)
            counted = plan.tokens_per_step * (2 if teacher_counts else 1)
            steps = math.ceil(own / counted) if rolled is None else rolled.steps_of_budget(own, chosen.batch_size)
            plan = replace(plan, steps=max(1, steps))
        elif chosen.max_steps is None:
            epochs = chosen.epochs
            steps = round(epochs * plan.steps_per_epoch) if rolled is None else rolled.steps(epochs)
            plan = replace(plan, steps=max(1, steps))
        planned.append(plan)
    return tuple(planned)


def _encoder(tokenizer: Any, config: TrainConfig, max_length: int) -> Encoder:
    if config.template in (None, "off"):
        return Encoder(tokenizer, max_length, plain=config.template == "off")
    try:
        text = Path(str(config.template)).read_text(encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        raise PrerequisiteError(f"the template {config.template!r} cannot be read: {error}") from None
    return Encoder(tokenizer, max_length, template=text)


def left_out(plan: Plan) -> list[str]:
    """What no stage, or one of them, is trained on and why, and what is odd: methods on the same records may differ."""
    found = [(stage, [*left_out_lines(stage.data), *odd_lines(plan.encoder, stage.data)]) for stage in plan.stages]
    return [f"{stage.stage.name}: {line}" for stage, lines in found for line in lines]


def describe(plan: Plan) -> list[str]:
    """What a dry run prints: the method, each stage's settings and data, and one example with its segments."""
    lines = [
        f"{plan.method.name}: {plan.method.summary}",
        f"  {plan.method.paper}",
        f"student {plan.config.student}, {plan.records} records of {plan.config.data}, seed {plan.config.seed}",
        f"model id {plan.model_id}",
        *plan.notes,
    ]
    lines += [f"  {name} = {value}" for name, value in sorted(asdict(plan.options).items())]
    for stage in plan.stages:
        lines += [
            "",
            f"stage {stage.stage.name}: {stage.steps} steps of {stage.settings.batch_size} examples "
            f"({stage.micro_batch} at a time, {stage.accumulation} added up), "
            f"{'about' if stage.rolled is None else 'at most'} {stage.tokens_planned:,.0f} tokens",
        ]
        shown = asdict(stage.settings).items()
        lines.append("  " + ", ".join(f"{key} {value}" for key, value in shown if value is not None))
        lines += [f"  {line}" for line in stage.rolled.lines(stage.steps)] if stage.rolled is not None else []
        lines += [f"  {line}" for line in preflight(plan.encoder, stage.data)]
        example = stage.data.examples[0]
        for number, sequence in enumerate(example.sequences):
            lines.append(f"  example {example.id!r}, sequence {number + 1} of {len(example.sequences)}:")
            lines += [f"    [{name}] {text[:_SHOWN]!r}" for name, text in plan.encoder.runs(sequence)]
            if stage.rolled is not None:
                lines.append(f"    ids {' '.join(map(str, sequence.ids_T[:_SHOWN]))}")
    return lines
