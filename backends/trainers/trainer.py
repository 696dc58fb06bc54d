"""The one trainer: transformers' with the loss of an `Objective` and the examples of a `Feed`.

From transformers come the loop, mixed precision, several processes, gradient checkpointing, reporting; from peft the
adapters. Ours is what they do not have: batches of `Example`s, losses that divide by counts over the whole optimiser
step (so that k accumulation steps are one big batch for every method, pairs and views included), and numbers that add
up. Methods with a leading underscore are transformers' own hooks: tests/unit/test_trainer_hooks.py holds them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from itertools import chain
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from accelerate.utils import gather_object
from safetensors import SafetensorError
from torch import Tensor
from transformers import Trainer, TrainingArguments
from transformers.trainer import TRAINER_STATE_NAME, TrainerState

from backends.base import Objective, Served, Step, Training
from backends.losses.positions import HeadLogits
from backends.records.collate import collate, padding
from backends.records.segments import Example
from backends.rollouts.alarms import Alarms
from backends.rollouts.monitor import effective_share
from backends.rollouts.sampler_gap import GAP
from backends.rollouts.settings import RolloutSettings
from backends.trainers.account import Account
from backends.trainers.batch import Batch, as_batch
from backends.trainers.feed import Feed
from backends.trainers.head import score
from backends.trainers.sharding import refuse_zero3
from backends.trainers.writing import writing
from harness.errors import StoreError, TrainingStopped
from harness.spent import Spent

OBJECTIVE_FILE = "objective.pt"
"""State of the objective, in a checkpoint."""
LARGEST = "_max"
"""End of the names of numbers of which the largest is logged, not the mean."""


class ObjectiveTrainer(Trainer):  # type: ignore[misc]  # transformers is untyped here
    """Trains a student on what a feed gives, with an objective."""

    lr_scheduler: Any
    loss_is_scaled_for_ga = True  # by `Objective.counts`; transformers must not divide once more

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        feed: Feed,
        objective: Objective,
        args: TrainingArguments,
        *,
        teacher: str | None = None,
        load: Callable[[str], tuple[Any, Any]],
        callbacks: Sequence[Any] = (),
        decay: tuple[float, int] | None = None,
        rollout: RolloutSettings | None = None,
        alarms: Alarms | None = None,
        served: Served | None = None,
    ) -> None:
        """`model` must have gone through `add_objective_head`, and has its adapter if it gets one; `alarms` watch it.

        `decay` is (factor, steps of an epoch): the learning rate is multiplied by it after each epoch, as StepLR does
        in the authors' code of EDIT.
        """
        self.objective, self.feed, self._decay, self.alarms = objective, feed, decay, alarms
        self._pad_id = padding(tokenizer)
        use_cache = getattr(model.config, "use_cache", None)
        super().__init__(
            model,
            args,
            data_collator=list,  # of numbers: `get_batch_samples` makes the batches
            train_dataset=range(feed.size),
            processing_class=tokenizer,
            callbacks=list(callbacks),
        )
        if use_cache is not None:  # transformers switches it off for training, and would save it so
            model.config.use_cache = use_cache
        model.add_model_tags(["trl", "sft"])  # in the adapter's README.md, as it has always been
        self.account = Account(self.model)
        """What this training has spent."""
        self._training = Training(
            model=self.model,
            tokenizer=tokenizer,
            forward=self.forward,
            batches=self._all_batches,
            device=args.device,
            teacher=teacher,
            load=load,
            examples=feed.size,
            spend=self.account.add,
            rollout=rollout,
            batch=self._batch,
            autocast=self.accelerator.autocast,
            gather=self._gather,
            served=served,
        )
        self._counts: dict[str, Tensor] = {}
        self._step_log: dict[str, Tensor] = {}
        self._largest: dict[str, Tensor] = {}
        self.last_numbers: dict[str, float] = {}
        """What was logged last: means over the steps since the time before."""
        self._window: list[dict[str, float]] = []

    # --- what the objective sees ------------------------------------------------------------------------------------

    def begin(self) -> None:
        """Let the objective look at the untrained student and at the data, before `train`."""
        home = next(self.model.parameters()).device
        self.model.to(self.args.device)  # FSDP leaves it where it was loaded until training shares it out
        self.objective.setup(self._training)
        if self.args.process_index:
            self.account.forget()  # all processes read the same data there: it counts once
        self.model.to(home)

    def settle(self) -> None:
        """After the last step: the weights that the feed finds best, and what it tells of them."""
        self.last_numbers |= self.feed.settle(self.step, self._training)
        self.account.put(self._over_processes(self.account.take().to(self.args.device)).tolist())

    def forward(self, function: Callable[[HeadLogits], Any], batch: Batch, model: Any = None) -> Any:
        """A pass without gradient of `model`, of the student by default, in evaluation mode."""
        if not self.is_in_train:
            refuse_zero3("a pass before training")
        model = self.model if model is None else model
        self.account.passed(model, batch.inputs["attention_mask"].sum())
        was_training = model.training
        model.eval()
        try:
            # Before training starts no pass is in mixed precision by itself; a reference must be in the student's.
            with torch.no_grad(), self.accelerator.autocast():
                return score(model, batch, function)
        finally:
            model.train(was_training)

    def _all_batches(self) -> Iterator[Batch]:
        size = self.args.per_device_train_batch_size
        for start in range(0, self.feed.size, size):
            part = range(start, min(start + size, self.feed.size))
            (examples,) = self.feed.batch(self.step, [part], self._training)
            yield self._batch(examples)

    def _batch(self, examples: Sequence[Example]) -> Batch:
        return as_batch(self._prepare_inputs(collate(examples, self._pad_id)))

    def _gather(self, own: Any) -> list[Any]:
        if self.args.world_size == 1:
            return [own]
        found: list[Any] = gather_object([own])
        return found

    # --- the loop's hooks -------------------------------------------------------------------------------------------

    def get_batch_samples(self, epoch_iterator: Iterator[Any], num_batches: int, device: Any) -> tuple[list[Any], None]:
        """The coming optimiser step's micro-batches; counts what the objective divides by in all of them, and tokens.

        Counts are those of all processes.
        """
        indices, _ = super().get_batch_samples(epoch_iterator, num_batches, device)
        collated = [collate(part, self._pad_id) for part in self.feed.batch(self.step, indices, self._training)]
        totals: dict[str, Tensor] = {}
        for batch in collated:
            self.account.read(batch["attention_mask"].sum())
            for name, count in self.objective.counts(as_batch(batch)).items():
                totals[name] = totals[name] + count if name in totals else count
        self._counts = {name: self._over_processes(total.to(device)) for name, total in totals.items()}
        return collated, None

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Tensor:
        """The micro-batch's share of the objective's loss; a mean over processes is multiplied back."""
        batch = as_batch(inputs)
        step = self.step
        prepared = self.objective.prepare(batch, step)

        def objective(logits: HeadLogits) -> dict[str, Any]:
            found = self.objective.loss(batch, logits, self._counts, step, prepared)
            log = {name: torch.as_tensor(value, device=logits.hidden_BTD.device) for name, value in found.log.items()}
            return {
                "loss": found.value,
                "log": {name: value.detach().float() for name, value in log.items()},
                "largest": {name: value.detach().float() for name, value in found.largest.items()},
            }

        found = score(model, batch, objective)
        for name, value in {**found["log"], "loss": found["loss"].detach().float()}.items():
            self._step_log[name] = self._step_log[name] + value if name in self._step_log else value
        for name, value in found["largest"].items():
            self._largest[name] = torch.maximum(self._largest[name], value) if name in self._largest else value
        loss: Tensor = found["loss"] * self.args.world_size
        return loss

    @property
    def step(self) -> Step:
        """The optimiser step that is being made."""
        return Step(self.state.global_step, self.state.max_steps)

    def _clip_grad_norm(self, model: Any) -> Any:
        """Clip; stop before the weights are touched if the step is not finite; tell the objective of the step."""
        norm = super()._clip_grad_norm(model)
        names = sorted(self._step_log)
        own = torch.stack([self._step_log[name].double() for name in names])
        values = self._over_processes(torch.cat([own, self.account.take().to(own.device)])).tolist()
        numbers = {**self.feed.numbers, **dict(zip(names, values[: len(names)], strict=True))}
        if not self.feed.gap_means:
            numbers.pop(GAP, None)
        numbers |= effective_share(numbers) | self._largest_of_all()
        self._step_log, self._largest = {}, {}
        finite = torch.isfinite(torch.as_tensor(numbers["loss"])) and (norm is None or torch.isfinite(_local(norm)))
        if not finite:
            told = (
                "the last checkpoint is kept; try a lower learning rate"
                if self.state.global_step
                else "no step was made, so look at the method's options, the student and its teacher"
            )
            raise TrainingStopped(
                f"the loss or its gradient is no finite number at step {self.state.global_step + 1} "
                f"(loss {numbers['loss']}): {told}"
            )
        for sign in self.alarms.see(self.state.global_step, numbers) if self.alarms is not None else ():
            if sign.fatal:
                raise TrainingStopped(f"step {self.state.global_step + 1}: {sign.line}; the last checkpoint is kept")
        self.account.put(values[len(names) :])
        self._window.append(numbers)
        self.objective.after_step(numbers, self.step)
        return norm

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Add the objective's numbers, as means over the steps since the last time."""
        if self._window and "loss" in logs:
            names = dict.fromkeys(chain.from_iterable(self._window))
            own = {name: (_most if name.endswith(LARGEST) else _mean)(self._window, name) for name in names}
            logs = {**logs, **own}
            self._window = []
            self.last_numbers = dict(own)
        super().log(logs, start_time)

    def create_scheduler(self, num_training_steps: int, optimizer: Any = None) -> Any:
        """The decay by epoch where it was asked for, else transformers' own."""
        if self._decay is None or self.lr_scheduler is not None:
            return super().create_scheduler(num_training_steps, optimizer)
        factor, every = self._decay
        self.lr_scheduler = torch.optim.lr_scheduler.LambdaLR(
            optimizer or self.optimizer, lambda step: factor ** (step // every)
        )
        return self.lr_scheduler

    def any_process(self, flag: bool) -> bool:
        """Whether the flag is set on any process."""
        return bool(self._over_processes(torch.tensor(int(flag), device=self.args.device)) > 0)

    def _over_processes(self, values: Tensor) -> Tensor:
        if self.args.world_size == 1:
            return values
        total: Tensor = self.accelerator.reduce(values, reduction="sum")
        return total

    def _largest_of_all(self) -> dict[str, float]:
        """Over processes, of which each may have seen other numbers; only those that draw have any."""
        found: dict[str, float] = {}
        if self.alarms is None:
            return found
        for own in self._gather({name: float(value) for name, value in self._largest.items()}):
            found |= {name: max(value, found.get(name, value)) for name, value in own.items()}
        return found

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        """A checkpoint of transformers with the objective's state."""
        folder = Path(self._get_output_dir(trial)) / f"checkpoint-{self.state.global_step}"
        with writing(folder, "the last whole checkpoint is kept"):
            super()._save_checkpoint(model, trial)
            if self.args.should_save:
                state = {
                    "objective": self.objective.state_dict(),
                    "feed": self.feed.state_dict(),
                    "spent": asdict(self.account.total),
                    "alarms": None if self.alarms is None else self.alarms.state_dict(),
                    "window": self._window,  # so that what is logged next is the mean that it would have been
                }
                torch.save(state, folder / OBJECTIVE_FILE)

    def resume(self, checkpoint: Path) -> None:
        """Take up the objective's state and what was spent until a checkpoint, before `train` resumes from it."""
        with reading(checkpoint):
            state: Mapping[str, Any] = torch.load(checkpoint / OBJECTIVE_FILE, map_location="cpu", weights_only=True)
            self.objective.load_state_dict(state["objective"])
            self.feed.load_state_dict(state.get("feed", {}))
            self.account.total = Spent(**state["spent"]) if "spent" in state else Spent(read=int(state["tokens_seen"]))
            if self.alarms is not None and state.get("alarms") is not None:
                self.alarms.load_state_dict(state["alarms"])
            self.account.forget()  # what the objective reads before the first step is in it
            self._window = list(state["window"])
            TrainerState.load_from_json(str(checkpoint / TRAINER_STATE_NAME))

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        with reading(Path(resume_from_checkpoint)):
            super()._load_from_checkpoint(resume_from_checkpoint, model)

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        with reading(Path(checkpoint or "")):
            super()._load_optimizer_and_scheduler(checkpoint)

    def _load_rng_state(self, checkpoint: str | None) -> None:
        with reading(Path(checkpoint or "")):
            super()._load_rng_state(checkpoint)


@contextmanager
def reading(checkpoint: Path) -> Iterator[None]:
    """Turn what the libraries raise for a damaged checkpoint into one error; too little memory is another one."""
    try:
        yield
    except torch.OutOfMemoryError:
        raise
    except (
        OSError,
        RuntimeError,
        ValueError,
        KeyError,
        TypeError,
        EOFError,
        UnpicklingError,
        SafetensorError,
    ) as error:
        first = str(error).strip().partition("\n")[0]
        raise StoreError(
            f"the checkpoint {checkpoint} cannot be read ({type(error).__name__}: {first}): if it is damaged, delete "
            "it and run the same command again, which goes on from the one before or from the beginning"
        ) from error


def _mean(steps: Sequence[Mapping[str, float]], name: str) -> float:
    """Over the steps that have it: a generation's numbers stand at the first step that is made with it."""
    values = [step[name] for step in steps if name in step]
    return sum(values) / len(values)


def _most(steps: Sequence[Mapping[str, float]], name: str) -> float:
    return max(step[name] for step in steps if name in step)


def _local(norm: Any) -> Tensor:
    """A norm as a plain scalar (FSDP2 gives a sharded one)."""
    return norm.full_tensor() if hasattr(norm, "full_tensor") else torch.as_tensor(norm)
