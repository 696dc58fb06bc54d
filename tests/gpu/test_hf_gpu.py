"""The transformers engine on a real GPU: the same samples for any batch, near the CPU's, and a batch that shrinks."""

# ruff: noqa: E402  # imports come after the check that they can be made

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="needs the extra hf")
pytest.importorskip("transformers", reason="needs the extra hf")

from tiny_model import answer, request, tiny, write_model

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU"),
]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("tiny"))


def test_a_sample_does_not_depend_on_its_batch(checkpoint: Path) -> None:
    asked = [request("q" * n, attempt, top_p=0.9) for n in (1, 8, 40) for attempt in range(4)]
    alone = answer(tiny(checkpoint, device="cuda", batch_size="1"), asked)
    together = answer(tiny(checkpoint, device="cuda", batch_size="12"), asked)
    assert {key: c.text for key, c in together.items()} == {key: c.text for key, c in alone.items()}
    assert len({c.text for c in alone.values()}) > 6


def test_the_gpu_draws_what_the_cpu_draws(checkpoint: Path) -> None:
    asked = [request("hello", attempt, max_tokens=8) for attempt in range(4)]
    gpu, cpu = answer(tiny(checkpoint, device="cuda"), asked), answer(tiny(checkpoint), asked)
    assert {key: c.text for key, c in gpu.items()} == {key: c.text for key, c in cpu.items()}


def test_real_lack_of_memory_shrinks_the_batch(checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny(checkpoint, device="cuda", batch_size="16", dtype="bfloat16")
    decoder = model.load()
    real = decoder.model.forward
    free = torch.cuda.mem_get_info()[0]

    def forward(*args: object, **kwargs: object) -> object:
        if kwargs["input_ids"].shape[0] > 4:  # type: ignore[attr-defined]
            torch.empty(2 * free, dtype=torch.uint8, device="cuda")  # the allocator's own error, not one of ours
        return real(*args, **kwargs)

    monkeypatch.setattr(decoder.model, "forward", forward)
    found = answer(model, [request("q" * n) for n in range(1, 17)])
    assert all(c.error is None for c in found.values())
    assert decoder.max_rows == 4


def test_auto_takes_the_gpu_in_bfloat16(checkpoint: Path) -> None:
    model = tiny(checkpoint, device="auto", dtype="auto")
    assert (model.device, model.dtype) == ("cuda", "bfloat16")
    assert model.environment()["device"] == torch.cuda.get_device_name()
    asyncio.run(model.close())
