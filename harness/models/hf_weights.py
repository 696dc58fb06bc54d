"""Weights of a transformers model, adapters merged: nothing that does not fit is left out, filled in or ignored.

The libraries load a checkpoint with tensors missing (filled with noise), with tensors that the model has no place for
(ignored) and an adapter of another model (nothing of it applied) with a warning at most, and what comes out would be
scored under the checkpoint's name. All of these are errors here. `check_fit` looks at names and shapes alone.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable, Mapping
from typing import Any

import torch
import transformers

from harness.errors import BrokenModel
from harness.models.hf_source import Source

_MISFIT = re.compile(r"size mismatch for (\S+): .*?torch\.Size\((\[.*?\])\).*?torch\.Size\((\[.*?\])\)")
_ADAPTER_KEY = re.compile(r"(?:^|\.)(?:lora_\w+|base_layer|modules_to_save)(?:\.|$)")
_PLACEHOLDER = re.compile("image|audio|video|vision", re.IGNORECASE)
"""In the name of a token that stands for no text: text-only models of such families lack its embedding (Gemma 3 1B)."""
_NUMBER = re.compile(r"\.\d+(?=\.)")
_NAME = "default"
"""What peft calls the one adapter that is loaded."""


def load_weights(source: Source, device: str, dtype: torch.dtype | str) -> Any:
    """The model of a source with its adapters merged. `device`: "cpu", "map" (spread over the GPUs) or "meta".

    Raises `BrokenModel` naming tensors and shapes that do not fit, and what the libraries raise for files that cannot
    be read.
    """
    more: dict[str, Any] = {"device_map": {"map": "auto", "meta": "meta"}[device]} if device in ("map", "meta") else {}
    if source.gguf_file is not None:
        more["quantization_config"] = transformers.GgufConfig(dequantize=True)
    model, report = transformers.AutoModelForCausalLM.from_pretrained(
        **source.asked(),
        dtype=dtype,
        output_loading_info=True,
        ignore_mismatched_sizes=True,  # they are in the report, and refused with their shapes
        **more,
    )
    _check_report(source.location, model, report)
    for adapter in source.earlier_adapters:
        model = _merged(model, source.location, adapter, None)
    if source.adapter is not None:
        model = _merged(model, source.location, source.adapter, source.adapter_revision)
    return model


def check_fit(source: Source, tokenizer: Any) -> None:
    """Everything that `load_weights` would raise, and a tokenizer that does not fit, without memory for the weights."""
    try:
        model = load_weights(source, "meta", "auto")
    except BrokenModel:
        raise
    except Exception:  # some adapters begin by a computation on the base's weights (PiSSA): then it must be real
        model = load_weights(source, "cpu", "auto")
    check_vocabulary(source, model.get_input_embeddings().weight.shape[0], tokenizer)


def check_vocabulary(source: Source, rows: int, tokenizer: Any) -> None:
    """Raises `BrokenModel` where the tokenizer knows tokens of text that the model has no embeddings for, or none."""
    if not tokenizer("a 1", add_special_tokens=False)["input_ids"]:  # made of the class alone, its files are gone
        raise BrokenModel(f"{source.tokenizer_location!r} has no tokenizer: text becomes no tokens by it")
    known = ((token, number) for token, number in tokenizer.get_vocab().items() if number >= rows)
    beyond = [(number, token) for token, number in known if not _PLACEHOLDER.search(token)]
    if beyond:
        number, token = min(beyond)
        raise BrokenModel(
            f"the tokenizer of {source.tokenizer_location!r} knows the token {token!r} as number {number}, the "
            f"model has embeddings for {rows} tokens only: the two do not belong together, or tokens were added to "
            "the tokenizer alone (resize the embeddings, or take the base's tokenizer)"
        )


def check_finite(source: Source, model: Any) -> None:
    """Raises `BrokenModel` for a weight that is NaN or infinite: whatever such a model says is nonsense."""
    for name, parameter in model.named_parameters():
        weight = parameter.detach()
        if not weight.is_floating_point() or weight.is_meta:  # quantised, or left on the disk
            continue
        weight = weight.float() if weight.itemsize == 1 else weight  # eight-bit floats know no sum
        # One pass, no copy: NaN and infinity survive a sum.
        if not bool(torch.isfinite(weight.sum(dtype=torch.float32))):
            raise BrokenModel(f"{source.adapter or source.location!r}: {name!r} holds NaN or infinity: it diverged")


def _check_report(location: str, model: Any, report: Mapping[str, Any]) -> None:
    wrong = sorted(report["mismatched_keys"])
    if wrong:
        key, found, wanted = wrong[0]
        raise BrokenModel(
            f"{location!r} does not load: {len(wrong)} tensors have another shape than config.json says, the first is "
            f"{key!r}: {list(found)} in the file, {list(wanted)} in the model"
        )
    missing, other = sorted(report["missing_keys"]), sorted(report["unexpected_keys"])
    if missing:
        # The library only warns and fills them with noise, and the noise would be scored.
        raise BrokenModel(
            f"{location!r} does not load: {len(missing)} weights are missing from the checkpoint, the first is "
            f"{missing[0]!r}" + (f"; it has tensors of other names, such as {other[0]!r}" if other else "")
        )
    unused = _unused(model, other)
    if unused:
        what = "an adapter that was never merged" if _ADAPTER_KEY.search(unused[0]) else "more layers than its config"
        raise BrokenModel(
            f"{location!r} does not load: {len(unused)} of its tensors would be ignored, the first is {unused[0]!r}: "
            f"it holds {what}"
        )


def _unused(model: Any, keys: Iterable[str]) -> list[str]:
    """Tensors without a place that change what the model is: adapters, and further layers of a kind that it has.

    Others are left alone: heads for values, buffers of older versions.
    """
    known = {_NUMBER.sub(".#", name) for name in model.state_dict()}
    return sorted(key for key in keys if _ADAPTER_KEY.search(key) or _NUMBER.sub(".#", key) in known)


def _merged(model: Any, base: str, adapter: str, revision: str | None) -> Any:
    """The model with a LoRA adapter merged into it, its embeddings resized to the adapter's where that brings them."""
    import peft
    from peft.utils.save_and_load import load_peft_weights, set_peft_model_state_dict

    where = f"the adapter {adapter!r} does not fit {base!r}"
    weights = load_peft_weights(adapter, device="cpu", **({} if revision is None else {"revision": revision}))
    _resize(model, weights, where)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what it warns of is refused below
            wrapped = peft.PeftModel.from_pretrained(model, adapter, revision=revision)
            result = set_peft_model_state_dict(wrapped, weights, _NAME)  # once more, to be told what was left out
    except RuntimeError as error:
        misfit = _MISFIT.search(str(error))
        if misfit is None:
            raise
        raise BrokenModel(f"{where}: {misfit[1]!r} is {misfit[2]} in the adapter, {misfit[3]} here") from error
    unexpected, missing = sorted(result.unexpected_keys), sorted(filter(_of_adapter, result.missing_keys))
    told = []
    if unexpected:
        told.append(f"{len(unexpected)} of its tensors have no place there, the first is {unexpected[0]!r}")
    if missing:
        told.append(f"{len(missing)} tensors are not in its file, the first is {missing[0]!r}")
    if told:
        raise BrokenModel(f"{where}: {'; '.join(told)}")
    return wrapped.merge_and_unload()


def _of_adapter(key: str) -> bool:
    return _NAME in key.split(".")


def _resize(model: Any, weights: Mapping[str, Any], where: str) -> None:
    """Give the model as many embeddings as an adapter that was trained with tokens of its own brings.

    Raises `BrokenModel` where it does not bring all that would have to be new: the rest would be noise.
    """
    tables = {
        name: module.weight
        for name, module in model.named_modules()
        if module is model.get_input_embeddings() or module is model.get_output_embeddings()
    }
    brought = {name: weights.get(f"base_model.model.{name}.weight") for name in tables}
    rows = {tensor.shape[0] for tensor in brought.values() if tensor is not None and tensor.dim() == 2}
    if not rows or rows == {table.shape[0] for table in tables.values()}:
        return
    tied = len({id(table) for table in tables.values()}) == 1
    lacking = [name for name, tensor in brought.items() if tensor is None]
    if len(rows) > 1 or (lacking and not tied):
        shapes = {
            name: f"{list(tensor.shape) if tensor is not None else 'none'} in the adapter, {list(table.shape)} here"
            for (name, tensor), table in zip(brought.items(), tables.values(), strict=True)
        }
        told = "; ".join(f"{name!r} {shape}" for name, shape in shapes.items())
        raise BrokenModel(f"{where}: its embeddings were resized: {told}")
    model.resize_token_embeddings(rows.pop(), mean_resizing=False)  # every row comes from the adapter
