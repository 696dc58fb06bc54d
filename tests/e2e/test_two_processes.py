"""Training by two processes on CPUs gives the model that one process gives, writes one card, and stops as one."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import tiny_model

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]  # minutes beside other load, seconds alone

ROOT = Path(__file__).resolve().parents[2]
CPU = ROOT / "backends" / "launch" / "cpu.yaml"
SETTINGS = {"epochs": 2, "batch_size": 4, "micro_batch": 1, "learning_rate": 1e-3, "warmup": 0}
COMMAND = "from harness.cli.main import entry\nentry()\n"
COMMANDS = """
import json, sys
from harness.cli.main import entry
for words in json.loads(sys.argv[1]):  # one after the other: the imports cost more than the trainings
    sys.argv[1:] = words
    try:
        entry()
    except SystemExit as end:
        if end.code:
            raise
"""
# KRSL's own settings have dropout, whose masks are drawn by each process for itself.
# MIND and QCRD have networks beside the student, whose gradients and memory are those of all processes.
# GRPO draws on each process for half of the prompts, and compares within whole groups.
METHODS = {
    "sft": {},
    "krsl": {"lora_rank": "8", "lora_dropout": "0"},
    "dpo": {"lora_rank": "8"},
    "mind": {"scorer_epochs": "1", "beta": "0"},
    "qcrd": {"quality_steps": "2"},
    "grpo": {
        "weights": "letters=1", "rollout.group": "2", "rollout.max_new": "8", "rollout.updates": "2",
        "reward.letters.chosen": "abcdefghijklmnopqrstuvwxyz",
        "learning_rate": "1e-4", "scheduler": "constant",
    },
}  # fmt: skip
FAILS_ON_ONE_RANK = """
import os
from backends.methods.sft import LikelihoodObjective
from harness.cli.main import entry

def fail(self, logged, step):
    if os.environ.get("RANK") == "1" and step.number == 2:
        raise RuntimeError("one process fails")

LikelihoodObjective.after_step = fail
entry()
"""
SHARDED = """
import sys
import torch, transformers
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from backends.losses.nll import token_logps
from backends.trainers.head import add_objective_head

torch.distributed.init_process_group("gloo")
rank = torch.distributed.get_rank()
mesh = init_device_mesh("cpu", (2,))

def student():
    model = transformers.AutoModelForCausalLM.from_pretrained(sys.argv[1])
    add_objective_head(model)
    return model

def loss_of(model, ids):
    labels = torch.cat([ids[:, 1:], torch.full_like(ids[:, :1], -100)], 1)
    found = model(input_ids=ids, objective=lambda scores: {"loss": -token_logps(scores, labels).sum()})
    return found["loss"]

ids = torch.arange(80).reshape(2, 2, 20)  # two steps
for output_layer in ("with the rest", "apart"):
    whole, sharded = student(), student()
    for layer in sharded.model.layers:
        fully_shard(layer, mesh=mesh)
    if output_layer == "apart":  # as accelerate does it
        fully_shard(sharded.model.embed_tokens, mesh=mesh)
        fully_shard([sharded.model.norm, sharded.lm_head], mesh=mesh, reshard_after_forward=False)
    fully_shard(sharded, mesh=mesh)
    worst = 0.0
    for step in range(2):
        for model, rows in ((whole, ids[step]), (sharded, ids[step, rank : rank + 1])):
            model.zero_grad()
            loss_of(model, rows).backward()
        for (name, one), (_, two) in zip(whole.named_parameters(), sharded.named_parameters(), strict=True):
            off = (one.grad - 2 * two.grad.full_tensor()).abs().max()
            worst = max(worst, float(off / (1e-6 + one.grad.abs().max())))
    if rank == 0:
        print("worst", output_layer, worst)
torch.distributed.destroy_process_group()
"""


@pytest.fixture(scope="module")
def student(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model.write_model(tmp_path_factory.mktemp("student"), context=512)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """12 pairs of uneven lengths, so that a mean of the processes' means would be another loss."""
    rows = [
        {
            "id": str(number),
            "prompt": [{"role": "user", "content": f"{number} + {number}?"}],
            "response": "<think>\n" + "so " * (1 + number % 5) + f"\n</think>\n{2 * number}",
            "rejected": "<think>\n" + "no " * (1 + number % 4) + f"\n</think>\n{number}",
            "positives": ["<think>\n" + "well " * (1 + number % 3) + f"\n</think>\n{2 * number}"],
        }
        for number in range(12)
    ]
    path = tmp_path_factory.mktemp("data") / "pairs.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def launch(script: Path, arguments: list[str], processes: int) -> subprocess.CompletedProcess[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable]
    if processes > 1:
        command += ["-m", "accelerate.commands.launch", "--config_file", str(CPU), "--main_process_port", str(port)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1"}
    return subprocess.run(
        [*command, str(script), *arguments], capture_output=True, text=True, timeout=400, env=environment, check=False
    )


def arguments(results: Path, student: Path, data: Path, method: str, **more: str) -> list[str]:
    words = ["train", "--method", method, "--student", f"hf:{student}", "--data", str(data), "--quiet", "--json"]
    words += ["--results-dir", str(results), "--logging-steps", "1"]
    for key, value in {**SETTINGS, **more}.items():
        words += ["--set", f"{key}={value}"]
    return words


def train(
    folder: Path, student: Path, data: Path, text: str = COMMAND, **more: str
) -> subprocess.CompletedProcess[str]:
    """SFT by two processes, as one is told to fail."""
    script = folder / "main.py"
    script.write_text(text, encoding="utf-8")
    return launch(script, arguments(folder / "results", student, data, "sft", **more), 2)


def documents(text: str) -> list[dict[str, Any]]:
    found, decoder = list[dict[str, Any]](), json.JSONDecoder()
    while text := text.lstrip():
        document, end = decoder.raw_decode(text)
        found.append(document)
        text = text[end:]
    return found


@pytest.fixture(scope="module")
def cards(tmp_path_factory: pytest.TempPathFactory, student: Path, data: Path) -> dict[str, list[dict[str, Any]]]:
    """What each method's training printed, alone and by two processes, and the folder of its results."""
    folder, found = tmp_path_factory.mktemp("trained"), dict[str, list[dict[str, Any]]]()
    script = folder / "main.py"
    script.write_text(COMMANDS, encoding="utf-8")
    for processes in (1, 2):
        places = {method: folder / f"{method}{processes}" for method in METHODS}
        told = [arguments(places[method], student, data, method, **more) for method, more in METHODS.items()]
        done = launch(script, [json.dumps(told)], processes)
        assert done.returncode == 0, done.stderr[-3000:]
        for method, card in zip(METHODS, documents(done.stdout), strict=True):  # only the first process speaks
            found.setdefault(method, []).append({**card, "folder": places[method]})
    return found


def weights(results: Path) -> dict[str, Any]:
    from safetensors.torch import load_file

    (file,) = results.glob("models/*/model/*.safetensors")
    return dict(load_file(file))


def steps(results: Path) -> list[dict[str, float]]:
    (file,) = results.glob("models/*/metrics.jsonl")
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


@pytest.mark.parametrize("method", METHODS)
def test_two_processes_give_the_same_model(cards: dict[str, list[dict[str, Any]]], method: str) -> None:
    folders = [card.pop("folder") for card in cards[method]]
    one, two = map(weights, folders)
    assert one.keys() == two.keys()
    worst = max(float((one[name] - two[name]).abs().max()) for name in one)
    losses = [[step["loss"] for step in steps(folder)] for folder in folders]
    print(f"{method}: weights {worst:.2e}, losses {losses}")
    assert worst < 2e-6
    assert losses[0] == pytest.approx(losses[1], abs=1e-5) and len(losses[0]) == cards[method][0]["steps"]
    changing = {"seconds", "created", "fingerprint", "config", "final"}
    same = [{key: value for key, value in card.items() if key not in changing} for card in cards[method]]
    assert same[0] == same[1], "tokens, steps, id"
    divided = [next(iter(card["config"]["stages"].values()))["accumulation"] for card in cards[method]]
    assert divided == [4, 2], "the second run really was shared between two processes"


def test_a_failure_on_one_process_stops_both(tmp_path: Path, student: Path, data: Path) -> None:
    done = train(tmp_path, student, data, FAILS_ON_ONE_RANK)
    assert done.returncode != 0
    assert "one process fails" in done.stderr
    assert not list(tmp_path.glob("results/models/*/card.json"))


def test_a_loss_that_is_not_finite_stops_both_with_one_line(tmp_path: Path, student: Path, data: Path) -> None:
    done = train(tmp_path, student, data, learning_rate="1e9")
    assert done.returncode != 0
    assert "is no finite number" in done.stderr
    assert not list(tmp_path.glob("results/models/*/card.json"))


@pytest.fixture(scope="module")
def sharded(tmp_path_factory: pytest.TempPathFactory, student: Path) -> str:
    script = tmp_path_factory.mktemp("sharded") / "main.py"
    script.write_text(SHARDED, encoding="utf-8")
    done = launch(script, [str(student)], 2)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.mark.parametrize("output_layer", ["with the rest", "apart"])
def test_the_objective_head_under_fsdp2(sharded: str, output_layer: str) -> None:
    """Accelerate offers FSDP on accelerators only; the head's part of it is tested on its own."""
    (worst,) = (line for line in sharded.splitlines() if line.startswith(f"worst {output_layer} "))
    assert float(worst.split()[-1]) < 1e-4
