"""What a run says of its sampling is what was sent: omitted is the server's own, replaced is as replaced."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from stub_server import MODEL, StubServer
from test_models_openai import no_settings_from_outside, server

from harness.config import RunConfig
from harness.errors import ConfigError
from harness.leaderboard import group_key
from harness.run.pipeline import Outcome, run
from harness.run.result import RunResult
from harness.run.sent import SERVERS_OWN

__all__ = ["no_settings_from_outside", "server"]  # fixtures


class Quiet:
    def start(self, what: str, total: int, found: int, note: object) -> None: ...

    def advance(self, one: object) -> None: ...

    def beat(self, open_now: object) -> None: ...

    def finish(self) -> None: ...


def go(server: StubServer, results: Path, **changes: Any) -> Outcome:
    options = {"base_url": server.url, **changes.pop("options", {})}
    config = RunConfig(
        suite=("synth_easy",),
        model=(f"openai:{MODEL}",),
        model_options=options,
        limit=2,
        results_dir=str(results),
        grading_workers=1,
        max_failures=1.0,
        **changes,
    )
    return run(config, Quiet)


FORMS = [
    ({}, {}),
    ({"omit": "temperature"}, {"temperature": SERVERS_OWN}),
    ({"omit": "temperature,top_p"}, {"temperature": SERVERS_OWN, "top_p": SERVERS_OWN}),
    ({"omit": "max_tokens, stop"}, {"max_tokens": SERVERS_OWN, "stop": SERVERS_OWN}),
    ({"extra_body": '{"temperature": 1}'}, {"temperature": 1.0}),
    ({"omit": "temperature", "extra_body": '{"temperature": 0.3}'}, {"temperature": 0.3}),
    ({"extra_body": '{"max_completion_tokens": 7}'}, {"max_tokens": 7}),
]


def sent(server: StubServer, name: str) -> object:
    """What the server saw of a field; what is absent is its own."""
    body = server.seen[-1].body
    if name == "max_tokens" and "max_completion_tokens" in body:
        return body["max_completion_tokens"]
    return body.get(name, SERVERS_OWN)


@pytest.mark.parametrize(("options", "changed"), FORMS)
def test_what_was_sent_is_what_is_recorded_and_ranked(
    server: StubServer, tmp_path: Path, options: dict[str, str], changed: dict[str, object]
) -> None:
    (plain,) = go(server, tmp_path).results
    (result,) = go(server, tmp_path, options=options).results
    assert result.sampling == {**plain.sampling, **changed}
    for name in ("temperature", "top_p", "max_tokens"):
        assert result.sampling[name] == sent(server, name)
    assert (group_key(result) == group_key(plain)) == (not changed)
    assert json.loads(json.dumps(result.sampling)) == result.sampling


def test_several_samples_need_no_temperature_of_ours_where_the_server_has_its_own(
    server: StubServer, tmp_path: Path
) -> None:
    results: tuple[RunResult, ...] = tuple(go(server, tmp_path, n=2, options={"omit": "temperature"}).results)
    assert [result.n for result in results] == [2]
    for options in ({}, {"omit": "top_p"}, {"extra_body": '{"temperature": 0}'}, {"extra_body": "{"}):
        with pytest.raises(ConfigError):
            go(server, tmp_path, n=2, options=options)
