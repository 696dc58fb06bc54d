"""How much memory a device needs at the peak of training, found out without a device and without the weights.

    work = Work(model_config(architecture("llama-3.1-8b")), rows=4, length=2048, settings=settings, bf16=True)
    for line in table(work): print(line)

One forward and one backward pass of the real model run on tensors that have a shape and no memory (torch's
`FakeTensorMode`), while the bytes that would be alive are counted. So what is saved for the backward pass, gradient
checkpointing, adapters and autocast's copies of the weights need no formulas and hold for every architecture. Added to
it by arithmetic: the optimiser's state, and what several devices hold in common (DDP's buckets, FSDP's whole layers).
Scores of the vocabulary are computed in chunks as the losses here do. Sequences are counted as long as `length`.

Not counted: the CUDA context and fragmentation, for which `fits` leaves room, and what an objective does beside
(a teacher's or a reference's pass comes before the student's and needs less; its weights are `frozen_models`).
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter

from backends.config import Settings
from backends.load import lora_config
from backends.losses.chunks import chunk_rows, map_rows, same_dtype

Sharding = Literal["none", "copies", "zero2", "whole"]
"""none: one device. copies: DDP. zero2: gradients and optimiser state are shared out. whole: weights as well (FSDP,
ZeRO-3)."""

GIB = 2**30
_CONTEXT = 1.5 * GIB
_FRAGMENTATION = 0.05
_ADAM_BYTES = 8
"""Two moments in float32, per trained parameter."""


@dataclass(frozen=True)
class Work:
    """What one device does at a time."""

    config: Any
    """A transformers config."""
    rows: int
    """Sequences per forward pass: micro-batch x sequences per example."""
    length: int
    """Tokens per sequence, padding included."""
    settings: Settings
    """Of which the adapters count."""
    bf16: bool = True
    checkpointing: bool = False
    accumulates: bool = True
    """Whether gradients of earlier micro-batches are there during the backward pass."""
    frozen_models: int = 0
    """Further models of the student's size that are only read: a teacher, a reference."""


Peak = Mapping[Literal["weights", "gradients", "optimiser", "activations", "shared", "frozen"], float]
"""Bytes of one device at the peak, in the order of the table. "activations": all that a forward and a backward pass
hold beside weights and gradients; "shared": buckets, and layers gathered from other devices."""


def fits(peak: Peak, gib: float = 79.0) -> bool:
    """Whether this, the CUDA context and 5 % for fragmentation fit; an "80 GB" card has 79 GiB."""
    return sum(peak.values()) * (1 + _FRAGMENTATION) + _CONTEXT <= gib * GIB


SETUPS: Mapping[str, tuple[int, Sharding]] = {
    "1 x 80 GB": (1, "none"),
    "8 x 80 GB, DDP": (8, "copies"),
    "8 x 80 GB, ZeRO-2": (8, "zero2"),
    "8 x 80 GB, FSDP or ZeRO-3": (8, "whole"),
}
"""What the table shows: devices and how they share the work."""


def model_config(sizes: Mapping[str, Any]) -> Any:
    """A transformers config of an architecture's sizes (`backends.recipe.architecture`)."""
    from transformers import AutoConfig

    return AutoConfig.for_model(**sizes)


def parameters(config: Any) -> int:
    """Parameters of a model, tied ones counted once."""
    from transformers import AutoModelForCausalLM

    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    return sum(parameter.numel() for parameter in model.parameters())


def estimate(work: Work, devices: int = 1, sharding: Sharding = "none") -> Peak:
    """Memory of one of `devices` devices at the peak of an optimiser step, in bytes."""
    return _simulate(work, *_mode(work, devices, sharding))(devices, sharding)


def table(work: Work) -> list[str]:
    """Lines of text: what each part needs, GiB per device, and whether it fits."""
    lines = [f"{'':28}weights  grads  optim.  activ.  shared  frozen   total  fits"]
    simulated: dict[tuple[bool, bool], Callable[[int, Sharding], Peak]] = {}
    for name, setup in SETUPS.items():
        mode = _mode(work, *setup)
        if mode not in simulated:
            simulated[mode] = _simulate(work, *mode)
        found = simulated[mode](*setup)
        numbers = "  ".join(f"{part / GIB:6.1f}" for part in (*found.values(), sum(found.values())))
        lines.append(f"{name:28}{numbers}  {'yes' if fits(found) else 'no'}")
    return lines


# --- the simulated step -----------------------------------------------------------------------------------------------


def _mode(work: Work, devices: int, sharding: Sharding) -> tuple[bool, bool]:
    """(all weights are in bfloat16 when used, gradients are there when the passes begin)."""
    return work.bf16 and sharding in ("zero2", "whole"), work.accumulates or devices > 1


def _peak(
    work: Work,
    devices: int,
    sharding: Sharding,
    *,
    parameters: int,
    trained: int,
    frozen_weights: float,
    gradients: float,
    activations: float,
    layer_bytes: float,
    outer_bytes: float,
) -> Peak:
    """What was simulated on one device, shared out. The last two are weights as gathered: a layer's, all others'.

    `gradients` are those that are there when the passes begin: 0 if they are part of `activations`.
    """
    share = 1 / devices
    split = share if sharding in ("zero2", "whole") else 1.0
    shared = 0.0
    weights = frozen_weights + 4.0 * trained
    if sharding == "copies" and devices > 1:
        shared = 4.0 * trained  # buckets of all-reduce
    elif sharding == "zero2":
        weights = frozen_weights + (2.0 if work.bf16 else 4.0) * trained
        shared = 4.0 * trained * share if work.bf16 else 0.0  # float32 originals
    elif sharding == "whole" and devices > 1:
        # The layer at work and the next one, the gradient of one; outer weights (embeddings, head) with theirs.
        shared = 3.0 * layer_bytes + 2.0 * outer_bytes
    return {
        "weights": weights * (share if sharding == "whole" else 1),
        "gradients": gradients * split,
        "optimiser": _ADAM_BYTES * trained * split,
        "activations": activations,
        "shared": shared,
        "frozen": work.frozen_models * parameters * (2 if work.bf16 else 4) * (share if sharding == "whole" else 1),
    }


class _Alive(TorchDispatchMode):  # type: ignore[misc]  # torch is untyped here
    """Counts the bytes of storages that operations make, while they live."""

    def __init__(self, known: Sequence[Tensor]) -> None:
        super().__init__()
        self.bytes, self.peak = 0, 0
        self._sizes: dict[int, int] = {tensor.untyped_storage()._cdata: 0 for tensor in known}

    def __torch_dispatch__(
        self, function: Callable[..., Any], types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        result = function(*args, **(kwargs or {}))
        for tensor in tree_iter(result):
            if isinstance(tensor, Tensor):
                self._add(tensor.untyped_storage())
        return result

    def _add(self, storage: Any) -> None:
        if storage._cdata not in self._sizes:
            size = storage.nbytes()
            self._sizes[storage._cdata] = size
            weakref.finalize(storage, self._drop, storage._cdata)
            self.bytes += size
            self.peak = max(self.peak, self.bytes)

    def _drop(self, key: int) -> None:
        self.bytes -= self._sizes.pop(key)


def _simulate(work: Work, low: bool, accumulates: bool) -> Callable[[int, Sharding], Peak]:
    """One forward and one backward pass, to be shared out. `low`: all weights in bfloat16, as FSDP gathers them."""
    from torch._subclasses.fake_tensor import FakeTensorMode

    with torch.device("meta"):
        model = _model(work, low)
    mode = FakeTensorMode()
    _pretend(model, mode)
    with mode:
        weights = list(model.parameters())
        trained = [weight for weight in weights if weight.requires_grad]
        if accumulates:
            for weight in trained:
                weight.grad = torch.zeros_like(weight)
        known = [*weights, *model.buffers(), *(weight.grad for weight in trained if weight.grad is not None)]
        ids_BT = torch.zeros(work.rows, work.length, dtype=torch.int64)
        alive = _Alive(known)
        with alive:
            with torch.autocast("cpu", torch.bfloat16, enabled=work.bf16 and not low):
                loss = _loss(model, ids_BT)
            loss.backward()
        layer, outer = _units(model, 2 if work.bf16 else 4)
        count = sum(weight.numel() for weight in trained)
        return partial(
            _peak,
            work,
            parameters=sum(weight.numel() for weight in weights),
            trained=count,
            frozen_weights=sum(weight.nbytes for weight in weights if not weight.requires_grad),
            gradients=4.0 * count if accumulates else 0.0,
            activations=alive.peak,
            layer_bytes=layer,
            outer_bytes=outer,
        )


def _model(work: Work, low: bool) -> Any:
    import peft
    from transformers import AutoModelForCausalLM

    lora = work.settings.lora_rank is not None
    dtype = torch.bfloat16 if low or (work.bf16 and lora) else torch.float32
    model = AutoModelForCausalLM.from_config(work.config, dtype=dtype).train()
    if work.checkpointing:
        model.gradient_checkpointing_enable({"use_reentrant": False})
        model.enable_input_require_grads()
    if not lora:
        return model
    return peft.get_peft_model(model, lora_config(work.settings), autocast_adapter_dtype=not low)


def _pretend(model: Any, mode: Any) -> None:
    """Replace a meta model's tensors with ones that claim to be on the CPU, where autocast and attention are real."""
    from torch._subclasses.fake_tensor import FakeTensor

    made: dict[int, Tensor] = {}  # tied weights stay tied
    for module in model.modules():
        for name, weight in list(module._parameters.items()):
            if weight is not None:
                if id(weight) not in made:
                    fake = FakeTensor(mode, weight.detach(), torch.device("cpu"))
                    made[id(weight)] = torch.nn.Parameter(fake, requires_grad=weight.requires_grad)
                module._parameters[name] = made[id(weight)]
        for name, buffer in list(module._buffers.items()):
            if buffer is not None:
                module._buffers[name] = FakeTensor(mode, buffer, torch.device("cpu"))


def _loss(model: Any, ids_BT: Tensor) -> Tensor:
    """Token log-probabilities from hidden states and head, in chunks."""
    inner = model.get_base_model() if hasattr(model, "get_base_model") else model
    mask_BT = torch.ones_like(ids_BT)
    hidden_BTD = inner.base_model(input_ids=ids_BT, attention_mask=mask_BT, use_cache=False).last_hidden_state
    hidden, head = same_dtype(hidden_BTD, inner.get_output_embeddings().weight)
    rows = hidden.reshape(-1, hidden.shape[-1])
    return -map_rows(_logps, (rows, ids_BT.reshape(-1)), (head,), chunk=chunk_rows(head.shape[0])).sum()


def _logps(hidden_ND: Tensor, labels_N: Tensor, head_VD: Tensor) -> Tensor:
    scores_NV = (hidden_ND @ head_VD.T).float()
    return scores_NV.log_softmax(-1).gather(1, labels_N[:, None])[:, 0]


def _units(model: Any, width: int) -> tuple[float, float]:
    """Bytes of the largest layer and of what is outside the layers, at `width` bytes a parameter."""
    layers = max((m for m in model.modules() if isinstance(m, torch.nn.ModuleList)), key=len)
    sizes = [sum(weight.numel() for weight in layer.parameters()) for layer in layers]
    total = sum(weight.numel() for weight in model.parameters())
    return float(width * max(sizes)), float(width * (total - sum(sizes)))
