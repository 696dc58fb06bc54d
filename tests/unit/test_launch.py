"""The launch configs are ones that accelerate reads and whose every key it knows."""

from __future__ import annotations

from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[2] / "backends" / "launch"
FILES = sorted(FOLDER.glob("*.yaml"))
KINDS = {
    "cpu": "MULTI_GPU",
    "ddp": "MULTI_GPU",
    "fsdp2": "FSDP",
    "fsdp2-nodes": "FSDP",
    "zero2": "DEEPSPEED",
    "zero3": "DEEPSPEED",
}


def test_the_configs_are_there() -> None:
    assert {path.stem for path in FILES} == set(KINDS)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_accelerate_reads_it(path: Path) -> None:
    from accelerate.commands.config.config_args import load_config_from_file
    from accelerate.commands.launch import launch_command_parser

    config = load_config_from_file(str(path)).to_dict()  # an unknown key raises
    assert config["distributed_type"] == KINDS[path.stem]
    assert config["num_processes"] >= 2 and config["num_processes"] % config["num_machines"] == 0
    options = {action.dest for action in launch_command_parser()._actions}
    nested = {**config.get("fsdp_config", {}), **config.get("deepspeed_config", {})}
    assert set(nested) <= options
    if KINDS[path.stem] == "FSDP":
        assert nested["fsdp_version"] == 2 and nested["fsdp_state_dict_type"] == "FULL_STATE_DICT"
    if KINDS[path.stem] == "DEEPSPEED":
        assert nested["zero_stage"] == int(path.stem[-1])
    assert (config["num_machines"] > 1) == ("nodes" in path.stem)
    assert config["mixed_precision"] == ("no" if path.stem == "cpu" else "bf16")
