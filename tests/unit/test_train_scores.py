"""The plan refuses a student or teacher whose scores are not hidden states times output layer, whatever its class."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from click.testing import CliRunner

from backends.config import TrainConfig
from backends.plan import plan_training
from backends.trainers.scores import require_plain_scores
from harness.cli.train import command
from harness.errors import ConfigError
from tests.tiny_model import write_model, write_tokenizer

SIZES: dict[str, Any] = {
    "vocab_size": 259,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "num_local_experts": 4,
    "num_experts_per_tok": 2,
    "max_position_embeddings": 64,
    "pad_token_id": 257,
    "bos_token_id": 258,
    "eos_token_id": 256,
}
LATENT = {
    "num_key_value_heads": 4,
    **dict.fromkeys(("q_lora_rank", "kv_lora_rank", "qk_nope_head_dim", "qk_rope_head_dim", "v_head_dim"), 8),
}
KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "plain": ("llama", {}),
    "tied": ("qwen3", {"tie_word_embeddings": True}),
    "biased": ("phi", {}),
    "other names": ("gpt2", {"n_embd": 32, "n_layer": 1, "n_head": 4}),
    "wrapped decoder": ("opt", {"ffn_dim": 32, "word_embed_proj_dim": 32}),
    "projected": ("opt", {"ffn_dim": 32, "word_embed_proj_dim": 16}),
    "half of an encoder-decoder": ("bart", {"d_model": 32, "decoder_layers": 1, "decoder_attention_heads": 4}),
    "experts": ("mixtral", {}),
    "recurrent": ("mamba", {"state_size": 4}),
    "scaled embeddings": ("gemma3_text", {}),
    "scale of one": ("granite", {"logits_scaling": 1.0}),
    "scaled": ("granite", {"logits_scaling": 8.0}),
    "scaled, another name": ("cohere", {"logit_scale": 0.0625}),
    "scaled, a third": ("cohere2", {"logit_scale": 0.25}),
    "capped": ("gemma2", {}),
    "capped, off": ("gemma2", {"final_logit_softcapping": None}),
    "capped, another name": ("recurrent_gemma", {"lru_width": 32}),
    "capped, a third": ("xlstm", {"num_heads": 4, "qk_dim_factor": 0.5}),
    "capped, a fourth": ("nanochat", {}),
    "scaled by width": ("minicpm3", {"dim_model_base": 4, **LATENT}),
    "transformed": ("modernbert-decoder", {}),
}


def told(kind: str) -> Any:
    name, own = KINDS[kind]
    return transformers.AutoConfig.for_model(name, **{**SIZES, **own})


def plain(config: Any) -> bool:
    """Whether the losses' product is what the model itself gives, by a real pass of real weights."""
    torch.manual_seed(0)
    model = transformers.AutoModelForCausalLM.from_config(config).eval()
    layer, ids = model.get_output_embeddings(), torch.tensor([[1, 2, 3, 5]])
    with torch.no_grad():
        layer.weight.normal_(std=3.0)
        hidden = model.base_model(input_ids=ids, use_cache=False).last_hidden_state
        right = torch.nn.functional.linear(hidden, layer.weight, layer.bias)
        return torch.allclose(model(input_ids=ids, use_cache=False).logits, right, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.filterwarnings("ignore")  # the library's own, on slow paths
def test_the_check_without_weights_says_what_a_real_pass_says(kind: str) -> None:
    config = told(kind)
    if plain(config):
        require_plain_scores(config, "x")
    else:
        with pytest.raises(ConfigError, match=r"'x' cannot be trained here: .*(scaled or capped|weights between)"):
            require_plain_scores(config, "x")


def test_the_table_has_both_kinds() -> None:
    refused = {kind for kind in KINDS if kind.startswith(("scaled", "capped", "transformed"))}
    assert {kind for kind in KINDS if not plain(told(kind))} == refused - {"scaled embeddings", "capped, off"}


def small(text: bool = False) -> dict[str, Any]:
    sizes = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    return {**SIZES, **sizes} if text else sizes


WRAPPERS = {
    "gemma3": ("wraps a text model", {"text_config": small(True), "vision_config": small()}),
    "llama4": ("no layers that can be called", {"text_config": small(True), "vision_config": small()}),
    "llama4_text": ("no layers that can be called", small(True)),
    "mllama": ("no layers that can be called", {}),
}


@pytest.mark.parametrize("kind", WRAPPERS)
def test_wrappers_are_refused(kind: str) -> None:
    what, more = WRAPPERS[kind]
    with pytest.raises(ConfigError, match=what):
        require_plain_scores(transformers.AutoConfig.for_model(kind, **more), "x")


def test_a_config_that_builds_nothing_is_refused() -> None:
    with pytest.raises(ConfigError, match="transformers cannot build it from its config"):
        require_plain_scores(transformers.AutoConfig.for_model("clip"), "x")


def saved(folder: Path, kind: str) -> Path:
    transformers.AutoModelForCausalLM.from_config(told(kind)).save_pretrained(folder)
    write_tokenizer(folder)
    return folder


def test_the_plan_refuses_student_and_teacher(tmp_path: Path) -> None:
    student, capped = write_model(tmp_path / "s"), saved(tmp_path / "t", "capped")
    config = TrainConfig("sft", student=f"hf:{capped}", data="synth:levels=1,per_level=4", max_length=64)
    with pytest.raises(ConfigError, match=f"'hf:{capped}' cannot be trained here.*scaled or capped"):
        plan_training(config, tmp_path)
    taught = replace(config, method="kd", student=f"hf:{student}", teacher=f"hf:{capped}", max_length=256)
    with pytest.raises(ConfigError, match=f"'hf:{capped}' cannot be read as a teacher.*scaled or capped"):
        plan_training(taught, tmp_path)
    assert plan_training(replace(taught, method="sft"), tmp_path).stages  # a name on the card only


def test_a_dry_run_says_it_in_one_line(tmp_path: Path) -> None:
    student = saved(tmp_path / "t", "scaled by width")
    words = ["--method", "sft", "--student", f"hf:{student}", "--data", "synth:levels=1,per_level=4", "--dry-run"]
    done = CliRunner().invoke(command, [*words, "--results-dir", str(tmp_path)], standalone_mode=False)
    assert isinstance(done.exception, ConfigError)
    assert "\n" not in str(done.exception) and "MiniCPM3ForCausalLM" in str(done.exception)
