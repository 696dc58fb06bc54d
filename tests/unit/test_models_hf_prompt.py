"""Prompts and texts of the transformers engine: templates without system role or end, tags as special tokens."""

# imports come after the check that they can be made

from __future__ import annotations

import asyncio
import dataclasses
import threading
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="needs the extra hf")
pytest.importorskip("transformers", reason="needs the extra hf")

from test_models_hf import checkpoint
from tiny_model import CHAT, answer, request, tiny, write_scripted

from harness.errors import ModelError
from harness.reasoning import with_answer
from harness.types import Completion, Message, Request

__all__ = ["checkpoint"]  # a fixture


def asking(*messages: Message, name: str = "s") -> Request:
    return dataclasses.replace(request("ok", temperature=0.0), id=f"{name}/0", messages=messages)


SYSTEM, USER = Message("system", "be brief"), Message("user", "why?")


def test_a_template_that_refuses_the_messages_fails_that_request_alone(checkpoint: Path, tmp_path: Path) -> None:
    template = tmp_path / "t.jinja"
    template.write_text(
        CHAT.replace("{% for", "{% if 'x' in messages[0].content %}{{ raise_exception('no x') }}{% endif %}{% for", 1)
    )
    asked = [asking(SYSTEM, Message("user", "x")), request("ok")]
    found = answer(tiny(checkpoint, chat_template=str(template)), asked)
    assert "refuses these messages: no x" in (found["s", 0].error or "")
    assert found["ok", 0].error is None


SILENT = "{% for m in messages %}{% if m.role != 'system' %}{{ m.role[0] }}:{{ m.content }}\n{% endif %}{% endfor %}a:"
OWN = "{% for m in messages %}{{ m.role[0] }}:{{ m.content }}\n{% endfor %}a:"


@pytest.mark.parametrize(("template", "folded"), [(CHAT, True), (SILENT, True), (OWN, False)])
def test_a_system_turn_without_a_place_stands_at_the_head_of_the_first_user_turn(
    checkpoint: Path, tmp_path: Path, template: str, folded: bool
) -> None:
    (tmp_path / "t.jinja").write_text(template)
    model = tiny(checkpoint, chat_template=str(tmp_path / "t.jinja"))
    earlier = (Message("user", "first"), Message("assistant", "said"))
    written = (
        [Message("user", f"{SYSTEM.content}\n\nwhy?")],
        [Message("user", f"{SYSTEM.content}\n\nfirst"), earlier[1], USER],
    )

    async def collect() -> dict[str, Completion]:
        asked = [asking(SYSTEM, USER, name="s"), asking(*written[0], name="w")]
        asked += [asking(SYSTEM, *earlier, USER, name="s2"), asking(*written[1], name="w2")]
        return {r.id.removesuffix("/0"): await model.answer(r) for r in asked}

    found = asyncio.run(collect())
    for name in ("s", "s2"):
        same = found[name].tokens_in == found[name.replace("s", "w")].tokens_in
        assert same == folded and found[name].error is None
        assert not folded or found[name].text == found[name.replace("s", "w")].text
    assert ("system_role" in model.environment()) == folded
    asyncio.run(model.close())


LOOPS = "{% for a in range(99999) %}" * 3 + "{% endfor %}" * 3
CALLS = "{% macro f(n) %}{% if n %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(40) }}"


@pytest.mark.parametrize("template", [LOOPS, CALLS])
def test_a_template_that_does_not_end_is_stopped_with_one_line(
    checkpoint: Path, tmp_path: Path, template: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harness.models.hf_template.LIMIT_S", 0.2)
    (tmp_path / "t.jinja").write_text(template)
    with pytest.raises(ModelError, match=r"does not end: .* chat_template=FILE") as caught:
        answer(tiny(checkpoint, chat_template=str(tmp_path / "t.jinja")), [request("q")])
    assert "\n" not in str(caught.value)
    for thread in threading.enumerate():
        if thread.name == "chat template":
            thread.join(30)
            assert not thread.is_alive()


def test_a_renderer_remembers_so_many_prompts_and_no_more(checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.models.hf_prompt._KEPT", 4)
    prompts = tiny(checkpoint).load().prompts
    asked = [(Message("user", "q" * number),) for number in range(1, 12)]
    first = [prompts.render(messages) for messages in asked]
    assert len(prompts._known) <= 4 and prompts.render(asked[-1]) is first[-1]
    assert [prompts.render(messages) for messages in asked] == first


TAGS = {
    "<think>": ("<think>", "</think>"),
    "[THINK]": ("[THINK]", "[/THINK]"),
    "begin_of_thought": ("<|begin_of_thought|>", "<|end_of_thought|>", "<|begin_of_solution|>", "<|end_of_solution|>"),
    "user": ("<mull>", "</mull>"),
}


@pytest.mark.parametrize("name", TAGS)
def test_tags_that_are_special_tokens_stay_and_control_tokens_go(name: str, tmp_path: Path) -> None:
    opening, closing, *rest = TAGS[name]
    script = [opening, "h", "m", "<|tool|>", closing, *rest[:1], "4", *rest[1:]]
    options = {"think_markup": f"{opening}…{closing}"} if name == "user" else {}
    folder = write_scripted(tmp_path, script, [*TAGS[name], "<|tool|>"])
    (said,) = answer(tiny(folder, **options), [request("q", temperature=0.0)]).values()
    assert said.text == "".join(token for token in script if token != "<|tool|>")
    done = with_answer(said)
    assert (done.finish, done.reasoning, done.answer_text) == ("stop", "hm", "4")
    (cut,) = answer(tiny(folder, **options), [request("q", temperature=0.0, max_tokens=3)]).values()
    assert (cut.finish, with_answer(cut).answer_text, cut.tokens_out) == ("length", None, 3)
    (stopped,) = answer(tiny(folder, **options), [request("q", temperature=0.0, stop=(closing,))]).values()
    assert (stopped.finish, stopped.text) == ("stop", f"{opening}hm")


def test_a_block_that_the_prompt_opens_is_closed_by_a_special_token(tmp_path: Path) -> None:
    opens = CHAT.replace("a:{% endif %}", "a:<think>{% endif %}")
    folder = write_scripted(tmp_path, ["h", "</think>", "4"], ["<think>", "</think>"], opens, after="<think>")
    (said,) = answer(tiny(folder), [request("q", temperature=0.0)]).values()
    assert (said.text, said.finish, said.opened_think) == ("h</think>4", "stop", True)
    assert with_answer(said).answer_text == "4"


@pytest.mark.parametrize(("begun", "opened"), [("<think>\nhm:", True), ("<think>hm</think>\n:", False), ("so:", False)])
def test_a_reply_that_is_continued_inside_its_thought_is_known_to_be(begun: str, opened: bool, tmp_path: Path) -> None:
    folder = write_scripted(tmp_path, ["k", "</think>", "4"], ["<think>", "</think>"])
    asked = request("q", temperature=0.0)
    asked = dataclasses.replace(asked, messages=(*asked.messages, Message("assistant", begun)))
    (said,) = answer(tiny(folder), [asked]).values()
    assert (said.text, said.opened_think) == ("k</think>4", opened)
    (cut,) = answer(tiny(folder), [dataclasses.replace(asked, max_tokens=1)]).values()
    assert with_answer(cut).answer_text == (None if opened else "k")
