"""The two prompts with which AlpacaEval can be judged: the official one, where it is installed, and our own.

The official text is not part of this project. It is read from the files of the installed package `alpaca-eval`, without
importing it: the configuration of the leaderboard's annotator, and the prompt that this names.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from importlib import metadata
from pathlib import Path
from typing import Any

from harness.errors import ConfigError, MissingExtra
from harness.hashing import short_hash
from harness.models.base import import_extra
from harness.types import Completion, Message, Role
from judges.prompts.official import OfficialPrompt, cut
from judges.prompts.render import render
from judges.replies.labels import match_token
from judges.types import Malformed, Rubric, Task, Verdict

ANNOTATOR = "weighted_alpaca_eval_gpt4_turbo"
TOP_LOGPROBS = 5
READER_VERSION = 1
"""Raised whenever the same reply may be read as another preference."""
_CONFIGS = "alpaca_eval/evaluators_configs"
_TURN = re.compile(r"<\|im_start\|>([a-z]+)[ \t]*\n(.*?)<\|im_end\|>", re.DOTALL)
FIELD = re.compile(r"\{(instruction|output_1|output_2)\}")
_ROLES: Mapping[str, Role] = {"system": "system", "user": "user", "assistant": "assistant"}


@dataclass(frozen=True, slots=True)
class TokenPrompt:
    """A prompt that shows two answers and wants one of two tokens."""

    id: str
    """Name, version and hash, stored with every verdict."""
    tokens: tuple[str, str]
    """The token for the first answer, and for the second."""
    messages: Callable[[Task, str, str], tuple[Message, ...]]
    """The prompt with two answers in this order."""
    exact: bool
    """True if only these spellings of the tokens count (as published), False for " A" and "a" too."""
    temperature: float
    """Its own sampling temperature."""
    max_tokens: int
    top_logprobs: int
    """Alternatives of the first token to ask for."""


def own_prompt(rubric: Rubric) -> TokenPrompt:
    """Our own: a rubric of kind "pairwise". Raises `ConfigError` if it does not decide in one token."""
    labels = {choice.value: choice.label for choice in rubric.choices}
    if rubric.kind != "pairwise" or rubric.reply != "token" or sorted(labels) != [0.0, 1.0]:
        raise ConfigError(
            f"rubric {rubric.name!r} cannot judge alpaca_eval: it needs kind 'pairwise', reply 'token' and two "
            "choices worth 1 and 0, as pairwise_2 has"
        )
    tokens = (labels[1.0], labels[0.0])
    return TokenPrompt(rubric.id, tokens, partial(_rendered, rubric), False, 0.0, rubric.max_tokens, TOP_LOGPROBS)


def _rendered(rubric: Rubric, task: Task, first: str, second: str) -> tuple[Message, ...]:
    return render(rubric, task, first=(first,), second=(second,))


def filled(prompt: OfficialPrompt, task: Task, first: str, second: str) -> tuple[Message, ...]:
    """The leaderboard's prompt. Its text does not fence candidates; it is used as it is."""
    shown = prompt.messages({"instruction": task.turns[-1], "output_1": first, "output_2": second})
    return tuple(Message(message.role, message.content.strip()) for message in shown)


@cache
def official_prompt() -> TokenPrompt | None:
    """The installed package's prompt; None if the package is not installed.

    Raises `ConfigError` if it is another version than this knows how to read.
    """
    try:
        package = metadata.distribution("alpaca-eval")
    except metadata.PackageNotFoundError:
        return None
    folder = Path(str(package.locate_file(_CONFIGS)))
    where = f"alpaca-eval {package.version}, {ANNOTATOR}"
    try:
        config = _annotator(folder)
        template = str(config["prompt_template"])
        text = (folder / template).read_text(encoding="utf-8-sig")
        parameters, parser = config["completions_kwargs"], config["completion_parser_kwargs"]
        first = str(parser["numerator_token"])
        others = [str(token) for token in parser["denominator_tokens"] if token != first]
        if config["fn_completion_parser"] != "logprob_parser" or len(others) != 1:
            raise ValueError("not a preference between two tokens")
        # Cut into turns before anything is filled in, so that no candidate can open a turn of its own.
        turns = tuple((_ROLES[role], cut(body.strip(), FIELD)) for role, body in _TURN.findall(text))
        fields = sorted(name for _, parts in turns for _, name in parts if name is not None)
        if fields != ["instruction", "output_1", "output_2"]:
            raise ValueError(f"the prompt has the fields {fields}")
        prompt = OfficialPrompt(f"{Path(template).stem}@alpaca-eval-{package.version}#{short_hash(text, 12)}", turns)
        return TokenPrompt(
            id=prompt.id,
            tokens=(first, others[0]),
            messages=partial(filled, prompt),
            exact=True,
            temperature=float(parameters["temperature"]),
            max_tokens=int(parameters["max_tokens"]),
            top_logprobs=int(parameters["top_logprobs"]),
        )
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise ConfigError(
            f"{where}: the official prompt cannot be read ({error}): install alpaca-eval 0.6.6, or say --prompt own"
        ) from error


def require_official() -> TokenPrompt:
    """As `official_prompt`; raises `MissingExtra` if the package is not installed."""
    prompt = official_prompt()
    if prompt is None:
        raise MissingExtra("the official AlpacaEval prompt", "alpaca")
    return prompt


def _annotator(folder: Path) -> Mapping[str, Any]:
    """The annotator's entry of its YAML file."""
    yaml = import_extra("yaml", "the official AlpacaEval prompt", "alpaca")
    text = (folder / ANNOTATOR / "configs.yaml").read_text(encoding="utf-8-sig")
    try:
        return dict(yaml.safe_load(text)[ANNOTATOR])
    except yaml.YAMLError as error:
        raise ValueError(f"its configuration is not YAML: {error}") from error


def read_preference(prompt: TokenPrompt, completion: Completion) -> Verdict:
    """The preference for the answer shown first: p(first) / (p(first) + p(second)) of the first token.

    Without log-probabilities it is 1 or 0 by the reply itself, and the verdict says so. Raises `Malformed` if neither
    token is there: a preference that was not expressed is not 0.5.
    """
    shares = _shares(prompt, completion)
    if shares is not None:
        top = max(shares.values())
        weights = {token: math.exp(value - top) for token, value in shares.items()}
        value = weights.get(prompt.tokens[0], 0.0) / math.fsum(weights.values())
        return Verdict(value, prompt.tokens[0] if value >= 0.5 else prompt.tokens[1], soft=True)
    said = match_token(prompt.tokens, completion.answer_text or "")
    if said is None:
        raise Malformed(f"neither {prompt.tokens[0]!r} nor {prompt.tokens[1]!r}: reply with one of the two alone")
    return Verdict(1.0 if said == prompt.tokens[0] else 0.0, said, notes=("no_logprobs",))


def _shares(prompt: TokenPrompt, completion: Completion) -> dict[str, float] | None:
    """Log-probability of each of the two tokens; None if the first token's alternatives have neither.

    The alternatives say nothing where the first token opens a thought.
    """
    if not completion.alternatives or completion.reasoning:
        return None
    found: dict[str, list[float]] = {}
    for token, logprob in completion.alternatives.items():
        label = _label(prompt.tokens, token, prompt.exact)
        if label is not None and math.isfinite(logprob):
            found.setdefault(label, []).append(logprob)
    return {label: _log_sum(values) for label, values in found.items()} or None


def _label(tokens: Sequence[str], token: str, exact: bool) -> str | None:
    return (token if token in tokens else None) if exact else match_token(tokens, token)


def _log_sum(values: Sequence[float]) -> float:
    top = max(values)
    return top + math.log(math.fsum(math.exp(value - top) for value in values))
