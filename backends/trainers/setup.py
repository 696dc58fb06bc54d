"""One stage's trainer: the student with its adapter, the arguments, and how its model is saved."""

from __future__ import annotations

import math
import shutil
import warnings
from functools import cache
from pathlib import Path
from typing import Any, Literal

import torch
import transformers
from transformers import TrainingArguments
from transformers.integrations import is_deepspeed_zero3_enabled

from backends.base import Objective, Served
from backends.config import Runtime, Settings
from backends.load import find_weights, load_tokenizer, lora_config
from backends.memory import parameters
from backends.plan import Plan, StagePlan
from backends.rollouts.alarms import Alarms
from backends.rollouts.engine import Engine
from backends.rollouts.engine_hf import HfEngine
from backends.rollouts.engine_mixed import MixedEngine
from backends.rollouts.engine_server import ServerEngine
from backends.rollouts.engine_vllm import VllmEngine
from backends.rollouts.journal import Journal
from backends.rollouts.planning import accuracy_of
from backends.rollouts.sampler_gap import BF16_LEAST, LEAST
from backends.rollouts.settings import RolloutSettings
from backends.rollouts.source import RolloutSource
from backends.trainers.callbacks import Watch
from backends.trainers.feed import Feed, Fixed
from backends.trainers.head import add_objective_head
from backends.trainers.rolling import rolling_feed
from backends.trainers.sharding import refuse_zero3, whole_weights
from backends.trainers.targets import check_targets
from backends.trainers.trainer import ObjectiveTrainer
from backends.trainers.writing import writing
from harness.errors import ConfigError, PrerequisiteError
from harness.models.hf_load import load_config, load_for_training
from harness.models.hf_source import is_adapter

_SCHEDULERS = {"epoch_decay": "constant"}  # its own: `ObjectiveTrainer`'s `decay`
_TOGETHER_S, _APART_S = 1800, 3600
"""Seconds that processes wait for each other: torch's own, and twice as long where one may wait for a judge, whose
deadline is half of it (`backends.rewards.asked`), while another is through with its groups."""
_APART = 100_003
"""The order of epoch e comes from data seed + e: without a gap, seed 1 would see the epochs of seed 0, one later."""


def make_trainer(
    plan: Plan,
    stage: StagePlan,
    runtime: Runtime,
    watch: Watch,
    checkpoints: Path,
    previous: Path | None,
    results: Path,
) -> ObjectiveTrainer:
    """The trainer of a stage; `previous` holds the model that the stage before it left."""
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    args = _arguments(plan, stage, runtime, checkpoints)
    if args.n_gpu > 1:
        raise PrerequisiteError(
            f"one process sees {args.n_gpu} GPUs: `accelerate launch -m harness train …` uses all of them, "
            "CUDA_VISIBLE_DEVICES=0 one"
        )
    dtype = torch.bfloat16 if args.bf16 else torch.float32
    objective = stage.stage.objective()
    with whole_weights(type(objective).setup is not Objective.setup):  # what it sees before training must be real
        model, tokenizer = _student(plan, stage.settings, previous, args)
    _check_tokens(model, stage)
    tokenizer.chat_template = plan.encoder.template  # the trainer saves it too

    @cache  # one that draws and teaches is in memory once
    def load(spec: str) -> tuple[Any, Any]:
        refuse_zero3("a teacher")
        with whole_weights():
            other, its_tokenizer = load_for_training(find_weights(spec, results), dtype)
        add_objective_head(other)
        return other.to(args.device).eval().requires_grad_(False), its_tokenizer

    decays = stage.settings.scheduler == "epoch_decay"
    trainer = ObjectiveTrainer(
        model,
        tokenizer,
        _feed(plan, stage, runtime, checkpoints.parents[1], results, args),
        objective,
        args,
        teacher=plan.config.teacher,
        load=load,
        callbacks=(watch,),
        decay=(stage.settings.decay, stage.steps_per_epoch) if decays else None,
        rollout=stage.rolled.settings if stage.rolled is not None else None,
        alarms=_alarms(plan, stage, args.bf16),
        served=_served(plan, results),
    )
    trainer.remove_callback(transformers.trainer_callback.PrinterCallback)
    watch.trainer = trainer
    return trainer


def _served(plan: Plan, results: Path) -> Served | None:
    """The teacher, where servers have it: tokenizer and size are known without its weights."""
    if plan.config.teacher_server is None or plan.config.teacher is None:
        return None
    source = find_weights(plan.config.teacher, results)
    location = source.adapter or source.location
    return Served(plan.config.teacher_server, location, lambda: load_tokenizer(source), parameters(load_config(source)))


def _alarms(plan: Plan, stage: StagePlan, bf16: bool) -> Alarms | None:
    """What watches a stage whose student writes."""
    rolling = stage.stage.rolling
    if rolling is None:
        return None
    noise = BF16_LEAST if bf16 else LEAST
    if stage.settings.lora_rank is not None and stage.settings.lora_dropout > 0:
        noise = math.inf  # the student that is trained is another than the one that drew, at every step
    if rolling.mixture is not None:
        noise = math.inf  # and so it is where a teacher drew, too
    privileged = rolling.context is not None
    return Alarms(
        stage.steps,
        plan.config.stop_on,
        privileged=privileged,
        compares=rolling.compares,
        noise=noise,
        generations=math.ceil(stage.steps / stage.rolled.settings.steps) if stage.rolled is not None else 0,
    )


def _feed(plan: Plan, stage: StagePlan, runtime: Runtime, folder: Path, results: Path, args: TrainingArguments) -> Feed:
    """The records' own responses, or completions that the student will draw; `folder` is the model's."""
    if stage.rolled is None:
        return Fixed(stage.data.examples)
    rolled = stage.rolled
    rolling = stage.stage.rolling
    assert rolling is not None
    source = RolloutSource(
        stage=stage.stage.name,
        rolling=rolling,
        settings=rolled.settings,
        prompts=rolled.prompts,
        records=rolled.records,
        encoder=plan.encoder,
        seed=plan.config.seed,
        accumulation=stage.accumulation,
        rank=args.process_index,
        processes=args.world_size,
    )
    journal = Journal(folder, stage.stage.name, plan.model_id, args.process_index, args.world_size)
    size = stage.steps * stage.settings.batch_size
    engine = _engine(rolled.settings, plan.encoder.max_length, folder, args)
    looks, beside = engine, None
    if rolling.mixture is not None:  # held-out prompts are the student's alone
        mixed = engine = MixedEngine(rolled.settings, rolling.mixture)
        looks, beside = HfEngine(rolled.settings), lambda policy: mixed.teacher(policy).model
    graded = (accuracy_of(plan.config), rolled.held_out, looks) if rolled.held_out else None
    return rolling_feed(source, engine, rolled.totals, journal, size, runtime, results, graded, beside)


def _engine(settings: RolloutSettings, context: int, folder: Path, args: TrainingArguments) -> Engine:
    """Who draws, in the precision that is trained in; `folder` is the model's."""
    if settings.kind == "hf":
        return HfEngine(settings)
    dtype, rank = "bfloat16" if args.bf16 else "float32", args.process_index
    if settings.kind == "server":
        return ServerEngine(settings, context, dtype, folder / f"weights-{rank}", (rank, args.world_size))
    return VllmEngine(settings, context, dtype)


def _student(plan: Plan, settings: Settings, previous: Path | None, args: TrainingArguments) -> tuple[Any, Any]:
    """(model, tokenizer), the model with the adapter that is trained, if one is."""
    import peft

    lora = settings.lora_rank is not None
    continues = previous is not None and is_adapter(previous)
    source = find_weights(f"hf:{previous}", Path()) if previous is not None and not continues else plan.source
    # An adapter's base is only read: it can be kept in half the memory. Weights that are trained stay in float32.
    model, tokenizer = load_for_training(source, torch.bfloat16 if args.bf16 and lora else torch.float32)
    add_objective_head(model)
    if not lora:
        return model, tokenizer
    if continues:
        model = peft.PeftModel.from_pretrained(model, str(previous), is_trainable=True)
    else:
        model = _with_adapter(model, settings, plan.config.seed)
    if args.gradient_checkpointing:  # transformers does this only for adapters of its own
        model.enable_input_require_grads()
        if is_deepspeed_zero3_enabled():  # takes no other form with adapters
            args.gradient_checkpointing_kwargs = {"use_reentrant": True}
    return model, tokenizer


def _with_adapter(model: Any, settings: Settings, seed: int) -> Any:
    """The model with a new adapter, drawn from the seed."""
    import peft

    check_targets(model, settings.lora_targets)
    transformers.set_seed(seed)
    packed = getattr(model, "is_loaded_in_4bit", False) or getattr(model, "is_loaded_in_8bit", False)
    wide = packed or not is_deepspeed_zero3_enabled()  # ZeRO-3 gathers parameters of one type only: its base's
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*tie_word_embeddings.*")
        adapted = peft.get_peft_model(model, lora_config(settings), autocast_adapter_dtype=wide)
    for weight in adapted.parameters() if packed else ():
        if weight.requires_grad:  # as QLoRA has it, and TRL
            weight.data = weight.data.to(torch.bfloat16)
    return adapted


def _check_tokens(model: Any, stage: StagePlan) -> None:
    """Raises `ConfigError` where the tokenizer knows more tokens than the model has embeddings for."""
    known = model.get_input_embeddings().weight.shape[0]
    most = max(int(sequence.ids_T.max()) for example in stage.data.examples for sequence in example.sequences)
    if most >= known:
        raise ConfigError(
            f"the tokenizer gives the data the token {most}, and the student has embeddings for {known} only: the two "
            "do not belong together, or tokens were added to one alone"
        )


def _arguments(plan: Plan, stage: StagePlan, runtime: Runtime, checkpoints: Path) -> TrainingArguments:
    settings, gpu = stage.settings, torch.cuda.is_available()
    precision: Literal["float32", "bf16"] | str = plan.config.precision
    return TrainingArguments(
        output_dir=str(checkpoints),
        per_device_train_batch_size=stage.micro_batch,
        gradient_accumulation_steps=stage.accumulation,
        max_steps=stage.steps,
        learning_rate=settings.learning_rate,
        lr_scheduler_type=_SCHEDULERS.get(settings.scheduler, settings.scheduler),
        warmup_steps=round(settings.warmup * stage.steps),
        weight_decay=settings.weight_decay,
        adam_beta2=settings.beta2,
        max_grad_norm=settings.max_grad_norm,
        logging_steps=runtime.logging_steps,
        logging_first_step=True,
        logging_nan_inf_filter=False,
        save_strategy="no",  # `Watch` decides
        save_total_limit=2,
        seed=plan.config.seed,
        data_seed=plan.config.seed * _APART,
        bf16=precision == "bf16" or (precision == "auto" and gpu),
        use_cpu=not gpu,
        gradient_checkpointing=plan.config.gradient_checkpointing,
        report_to=list(runtime.report_to) or "none",
        disable_tqdm=True,
        dataloader_pin_memory=gpu,
        remove_unused_columns=False,
        ddp_timeout=_APART_S if stage.rolled is not None else _TOGETHER_S,
    )


def save_model(trainer: ObjectiveTrainer, folder: Path, tokenizer: Any) -> None:
    """The trained model or adapter and its tokenizer, in a folder that is there whole or not at all."""
    half = folder.with_name(f".{folder.name}.half")
    if trainer.args.should_save:
        shutil.rmtree(half, ignore_errors=True)
    for config in getattr(trainer.accelerator.unwrap_model(trainer.model), "peft_config", {}).values():
        if isinstance(config.target_modules, set):  # of texts, whose order is another in every process
            config.target_modules = sorted(config.target_modules)
    with writing(half, "training goes on from the last checkpoint"):
        trainer.save_model(str(half))
        if trainer.args.should_save:
            tokenizer.save_pretrained(half)
            (half / "training_args.bin").unlink(missing_ok=True)
            folder.parent.mkdir(parents=True, exist_ok=True)
            half.rename(folder)
    trainer.accelerator.wait_for_everyone()
