"""The process in which vLLM draws, with a library that only plays vLLM."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from backends.rollouts.vllm_child import VllmDraws
from backends.rollouts.vllm_worker import Weights, stale_layers

PLAYED = """
from backends.rollouts import vllm_child
class Draws:
    def __init__(self, folder, **told):
        print("a library prints")
        assert told["context"] == 64, "what a context"
    def take(self, folder):
        raise RuntimeError("two\\nlines")
    def draw(self, rows):
        for number, (tokens, seed) in enumerate(rows):
            print("and prints")
            yield {"number": number, "tokens": tokens, "seed": seed}
vllm_child.VllmDraws = Draws
vllm_child.main()
"""


def talk(place: Path, *messages: dict[str, Any]) -> tuple[list[dict[str, Any]], int]:
    """What the process says to these, and its exit status."""
    lines = "".join(json.dumps(message) + "\n" for message in messages)
    done = subprocess.run([sys.executable, "-c", PLAYED], input=lines, capture_output=True, text=True, timeout=60)
    assert "a library prints" in done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()], done.returncode


def start(place: Path, context: int = 64) -> dict[str, Any]:
    (place / "0").mkdir(parents=True)
    return {"start": {"folder": str(place / "0"), "context": context}}


def test_replies_are_alone_on_their_pipe_and_nothing_stays(tmp_path: Path) -> None:
    place = tmp_path / "weights"
    said, status = talk(place, start(place), {"draw": [[[1, 2], 5], [[3], 6]]})
    rows = [{"number": 0, "tokens": [1, 2], "seed": 5}, {"number": 1, "tokens": [3], "seed": 6}]
    assert said == [{"done": True}, *rows, {"done": True}] and status == 0
    assert not place.exists()  # the training may have been killed


def test_what_fails_is_told_and_the_weights_stay_for_the_next(tmp_path: Path) -> None:
    place = tmp_path / "weights"
    said, status = talk(place, start(place), {"weights": "1"})
    assert said == [{"done": True}, {"error": "RuntimeError: two\nlines"}] and status == 1
    assert place.exists()
    said, status = talk(place, start(tmp_path / "other", context=1))
    assert said == [{"error": "AssertionError: what a context"}] and status == 1


# --- vLLM's own interface ---------------------------------------------------------------------------------------------


class Engine:
    """Says of each request its seed, backwards, two in a step."""

    resets = True

    def __init__(self, arguments: Any) -> None:
        self.arguments, self.calls = arguments, list[Any]()
        self.waiting: list[tuple[str, Any, Any]] = []

    def add_request(self, name: str, prompt: Any, sampling: Any) -> str:
        self.waiting.append((name, prompt, sampling))
        return f"{name}-internal"

    def has_unfinished_requests(self) -> bool:
        return bool(self.waiting)

    def step(self) -> list[Any]:
        found = [self.waiting.pop() for _ in range(min(2, len(self.waiting)))]
        return [self._output(*one) for one in found]

    def _output(self, name: str, prompt: Any, sampling: Any) -> Any:
        tokens = (sampling.seed, 256)
        logprobs = [{token: SimpleNamespace(logprob=-float(n))} for n, token in enumerate(tokens)]
        finish = "abort" if sampling.seed == 99 else "stop"
        output = SimpleNamespace(token_ids=tokens, logprobs=logprobs, finish_reason=finish)
        return SimpleNamespace(request_id=name, finished=True, outputs=[output])

    def collective_rpc(self, method: str, args: Any) -> None:
        self.calls.append((method, args))

    def reset_prefix_cache(self) -> bool:
        self.calls.append("forgets")
        return self.resets


@pytest.fixture
def played(monkeypatch: pytest.MonkeyPatch) -> None:
    names = ("vllm", "vllm.platforms", "vllm.sampling_params", "vllm.model_executor", "vllm.model_executor.layers")
    head = "vllm.model_executor.layers.vocab_parallel_embedding"
    modules: dict[str, Any] = {name: ModuleType(name) for name in (*names, head)}
    modules["vllm"].EngineArgs = SimpleNamespace
    modules["vllm"].LLMEngine = SimpleNamespace(from_engine_args=Engine)
    modules["vllm"].SamplingParams = SimpleNamespace
    modules["vllm.platforms"].current_platform = SimpleNamespace(is_cpu=lambda: True)
    modules["vllm.sampling_params"].RequestOutputKind = SimpleNamespace(FINAL_ONLY="final")
    modules[head].ParallelLMHead = PackedHead
    for name, module in modules.items():
        monkeypatch.setitem(sys.modules, name, module)
    for name in ("STREAM", "LEVEL"):
        monkeypatch.setenv(f"VLLM_LOGGING_{name}", "x")
    for name in ("VLLM_NO_USAGE_STATS", "VLLM_CPU_KVCACHE_SPACE", "VLLM_ENABLE_V1_MULTIPROCESSING"):
        monkeypatch.setenv(name, "1")


def draws(context: int = 64) -> Any:
    return VllmDraws("w/0", context, "float32", max_new=5, temperature=0.7, ends=[256, 7], gpu_share=0.3)


def test_no_prompt_is_read_in_pieces_on_a_cpu(played: None) -> None:
    for context in (64, 100_000):
        arguments = draws(context)._engine.arguments
        assert arguments.enable_chunked_prefill is False and arguments.max_num_batched_tokens >= context
        assert arguments.max_model_len == context and arguments.gpu_memory_utilization == 0.3
        assert arguments.logprobs_mode == "processed_logprobs"


def test_each_completion_has_its_seed_its_number_and_its_own_log_probabilities(played: None) -> None:
    made = draws()
    asked = made._engine.add_request
    seen: list[Any] = []
    made._engine.add_request = lambda *told: seen.append(told) or asked(*told)
    for _ in range(2):  # names of requests go on
        found = list(made.draw([([1], 11), ([2], 12), ([3], 13)]))
        assert [row["number"] for row in found] == [2, 1, 0]
        assert [row["tokens"] for row in found] == [[13, 256], [12, 256], [11, 256]]
        assert all(row["logps"] == [0.0, -1.0] and row["finish"] == "stop" for row in found)
    assert len({name for name, _, _ in seen}) == 6
    sampling = vars(seen[0][2])
    assert sampling["stop_token_ids"] == [256, 7] and sampling["ignore_eos"] and sampling["logprobs"] == 0
    with pytest.raises(RuntimeError, match="vLLM ended a request: abort"):
        list(made.draw([([1], 99)]))


def test_one_that_draws_for_long_says_that_it_is_alive(played: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("backends.rollouts.vllm_child.BEAT", -1.0)
    said = list(draws().draw([([1], 11), ([2], 12)]))
    assert {"alive": True} in said and [row["number"] for row in said if "number" in row] == [1, 0]


def test_nothing_of_the_weights_before_is_used_again(played: None) -> None:
    made = draws()
    made.take("w/1")
    assert made._engine.calls == [("take_weights", ("w/1",)), "forgets"]
    made._engine.resets = False
    with pytest.raises(RuntimeError, match="keeps keys and values"):
        made.take("w/2")


class Packed(torch.nn.Module):
    """A layer that computes with a copy of its weight, as vLLM's do on a CPU."""

    def __init__(self, weight: torch.Tensor, **more: Any) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(weight.clone(), requires_grad=False)
        self.packed = self.weight.clone()
        self.quant_method = SimpleNamespace(process_weights_after_loading=self.pack, apply=self.apply_to)
        for name, value in more.items():
            setattr(self, name, value)

    def pack(self, layer: Any) -> None:
        self.packed = self.weight.clone()

    def apply_to(self, layer: Any, x: torch.Tensor) -> torch.Tensor:
        return x @ self.packed.T


class PackedHead(Packed):
    pass


VOCABULARY, WIDTH, INNER = 12, 16, 20


def weights(seed: int) -> dict[str, torch.Tensor]:
    draw = torch.Generator().manual_seed(seed)
    shapes = {"lm_head.weight": (VOCABULARY, WIDTH), "model.layers.0.mlp.down_proj.weight": (WIDTH, INNER)}
    return {name: torch.randn(shape, generator=draw) for name, shape in shapes.items()}


def worker_with(told: dict[str, torch.Tensor], dtype: torch.dtype, rank: int = 0, ranks: int = 1) -> Weights:
    """One of several workers, each with some rows of the output layer and some inputs of the projection."""
    rows, inputs = VOCABULARY // ranks, INNER // ranks
    parts = (slice(rank * rows, (rank + 1) * rows), slice(rank * inputs, (rank + 1) * inputs))

    def cut(told: dict[str, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
        head, down = told.values()
        padding = torch.zeros(4, WIDTH, dtype=dtype)
        return torch.cat([head[parts[0]].to(dtype), padding]), down[:, parts[1]].to(dtype)

    first_head, first_down = cut(told)
    shards = SimpleNamespace(org_vocab_start_index=parts[0].start, org_vocab_end_index=parts[0].stop)
    model = torch.nn.Module()
    model.lm_head = PackedHead(first_head, shard_indices=shards)
    mlp = torch.nn.Module()
    mlp.down_proj = Packed(first_down, input_size_per_partition=inputs, tp_rank=rank)
    layer, model.model = torch.nn.Module(), torch.nn.Module()
    layer.mlp, model.model.layers = mlp, torch.nn.ModuleList([layer])

    def reload_weights(weights_path: str) -> None:
        head, down = cut(load_file(f"{weights_path}/model.safetensors"))
        model.lm_head.weight.data, mlp.down_proj.weight.data = head, down
        mlp.down_proj.pack(None)

    worker = Weights()
    worker.model_runner = SimpleNamespace(reload_weights=reload_weights, get_model=lambda: model)
    return worker


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_layers_must_be_those_of_the_folder_to_the_bit(
    dtype: torch.dtype, played: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(3):
        (tmp_path / str(number)).mkdir()
    first, second = weights(1), weights(2)
    near = {name: weight.clone() for name, weight in second.items()}
    near["lm_head.weight"][:, 0] *= 1 + 2**-7  # one place of a bfloat16
    for number, told in enumerate((first, second, near)):
        save_file(told, tmp_path / str(number) / "model.safetensors")
    for rank in range(2):
        worker = worker_with(first, dtype, rank, 2)
        model = worker.model_runner.get_model()
        assert stale_layers(model, str(tmp_path / "0")) == []
        assert stale_layers(model, str(tmp_path / "1")) == ["the output layer", "the first layer"]
        worker.take_weights(str(tmp_path / "1"))  # the output layer is processed once more
        assert worker.harness_folder == str(tmp_path / "1")
        assert stale_layers(model, str(tmp_path / "2")) == ["the output layer"]
        monkeypatch.setattr(model.lm_head.quant_method, "process_weights_after_loading", lambda layer: None)
        with pytest.raises(RuntimeError, match="the output layer of vLLM did not take the weights"):
            worker.take_weights(str(tmp_path / "2"))
        assert worker.harness_folder is None
        assert "RuntimeError: the output layer" in str(worker.harness_take(str(tmp_path / "2"))["error"])
    assert worker.harness_take(str(tmp_path / "0"))["error"] is not None
    assert "no folder" in str(worker.harness_take(str(tmp_path / "3"))["error"])


def test_layers_of_other_names_are_not_looked_at(tmp_path: Path) -> None:
    save_file({"transformer.wte.weight": torch.zeros(2, 2)}, tmp_path / "model.safetensors")
    assert stale_layers(worker_with(weights(1), torch.float32).model_runner.get_model(), str(tmp_path)) == []
    save_file(weights(2), tmp_path / "model.safetensors")
    assert stale_layers(torch.nn.Linear(2, 2), str(tmp_path)) == []
