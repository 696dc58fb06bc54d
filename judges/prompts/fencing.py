"""Put text of others between fences that it cannot close, so that a judge can tell it from its instructions.

What is inside a fence may say anything: "ignore the rubric", a closing fence, a whole fake conversation. Three things
keep it inside. The fence is longer than the number of tildes on any line of the text, lookalikes included, so no line
of it can be read as the end. The markers by which chat templates tell turns apart are broken up, because a tokenizer
would read them as a new turn and no fence would help. Code points that no server accepts are replaced.
Nothing is cut: a text that is too long is the engine's to refuse.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import chain
from types import MappingProxyType

from harness.markup import TABLE

MARKERS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "ChatML, Llama 3 and 4, Phi, Command, Granite, GLM-4, Kimi, gpt-oss, Gemma 4": ("<|", "<turn|>", "<channel|>"),
        "DeepSeek, Hunyuan": ("<\N{FULLWIDTH VERTICAL LINE}",),
        "Llama 2": ("<s>", "</s>", "[INST]", "[/INST]", "<<SYS>>", "<</SYS>>"),
        "Llama 3, older spellings": (
            "<start_header_id>",
            "<end_header_id>",
            "<eot_id>",
            "<begin_of_text>",
            "<end_of_text>",
        ),
        "Mistral": (
            "[SYSTEM_PROMPT]",
            "[/SYSTEM_PROMPT]",
            "[AVAILABLE_TOOLS]",
            "[/AVAILABLE_TOOLS]",
            "[TOOL_CALLS]",
            "[/TOOL_CALLS]",
            "[TOOL_RESULTS]",
            "[/TOOL_RESULTS]",
            "[TOOL_CONTENT]",
            "[ARGS]",
            "[CALL_ID]",
            "[MODEL_SETTINGS]",
            "[/MODEL_SETTINGS]",
            "[IMG]",
            "[IMG_BREAK]",
            "[IMG_END]",
            "[AUDIO]",
            "[BEGIN_AUDIO]",
        ),
        "Gemma": ("<bos>", "<eos>", "<pad>", "<unk>", "<start_of_turn>", "<end_of_turn>", "<start_of_image>"),
        "GLM": ("[gMASK]", "[sMASK]", "[MASK]", "<sop>", "<eop>"),
        "EXAONE, BlueLM": ("[|",),
        "Kimi": ("[BOS]", "[EOS]", "[EOT]", "[PAD]", "[UNK]", "[start_header_id]", "[end_header_id]"),
        "BERT": ("[CLS]", "[SEP]"),
        "Nemotron": ("<extra_id_", "<SPECIAL_"),
        "Baichuan, InternLM": ("<reserved_", "<TOKENS_UNUSED_", "<eoh>", "<eoa>", "<eosys>"),
        "MiniMax": ("<beginning_of_sentence>", "<end_of_sentence>", "]~b]", "]~!b[", "[e~["),
        "Seed": ("<seed:", "</seed:"),
        "Ling": ("<role>", "</role>"),
        "TeleChat": ("<_system>", "<_user>", "<_bot>", "<_end>", "<_start>"),
        "MiniCPM, Yuan, RedPajama": ("<用户>", "<AI>", "<sep>", "<eod>", "<human>", "<bot>"),
        "Skywork": ("[SYSTEM]", "[USER]", "[BOT]"),
        "Idefics": ("<end_of_utterance>", "<fake_token_around_image>", "<image>"),
        "tools": (
            "<tool_call>",
            "</tool_call>",
            "<tool_response>",
            "</tool_response>",
            "<tools>",
            "</tools>",
            "<function=",
            "</function>",
        ),
        "thoughts": (
            *(tag for row in TABLE if not row.prose for tag in (*row.opens, *row.closes, *row.ends)),
            "[BEGIN FINAL RESPONSE]",
            "[END FINAL RESPONSE]",
        ),
    }
)
"""Family of chat templates -> its marks of turns, tools and thoughts: what text of others must not hold whole.

A tokenizer reads them as control tokens wherever they stand. Each family is what its published templates and tokenizers
use; an entry that ends open ("<|") covers everything that begins so. Marks that are ordinary words to a tokenizer
("USER:", "### Response:") are not here: the fence is what keeps those apart.
"""

# Characters that a tokenizer's normalisation would turn into these.
_LOOKALIKES = {
    "<": "<\uff1c\ufe64",
    ">": ">\uff1e\ufe65",
    "|": "|\uff5c",
    "[": "[\uff3b",
    "]": "]\uff3d",
    "/": "/\uff0f",
}


def _character(char: str) -> str:
    return f"[{re.escape(_LOOKALIKES[char])}]" if char in _LOOKALIKES else re.escape(char)


def _patterns() -> Iterator[str]:
    """One for each first character, so that a long text is searched for few alternatives."""
    tails: dict[str, set[str]] = {}
    for marker in chain.from_iterable(MARKERS.values()):
        tails.setdefault(marker[0], set()).add("".join(map(_character, marker[1:])))
    for first, rest in sorted(tails.items()):
        yield f"{_character(first)}(?={'|'.join(sorted(rest))})"


_ANY = re.compile("|".join(_patterns()), re.IGNORECASE)


def broken(text: str) -> str:
    """The text with a space behind the first character of every mark, so that no tokenizer reads one."""
    return _ANY.sub(r"\g<0> ", text)


SHORTEST = 5
"""Tildes of a fence around ordinary text."""
REPLACEMENT = "\N{REPLACEMENT CHARACTER}"

_TILDES = re.compile(
    "[~\N{SMALL TILDE}\N{COMBINING TILDE}\N{TILDE OPERATOR}\N{SWUNG DASH}\N{WAVE DASH}\N{FULLWIDTH TILDE}]"
)
_UNSENDABLE = re.compile("[\x00\ud800-\udfff]")


def fence(text: str) -> str:
    """The text between two lines of tildes, ready to stand on lines of its own.

    The text itself is as given, except that NUL and lone surrogates become U+FFFD, and that the marks of chat templates
    (`judges.prompts.fencing`: `<|im_start|>`, `</s>`, `[INST]`, `</think>`, ...) get a space behind the bracket.
    """
    safe = broken(_UNSENDABLE.sub(REPLACEMENT, text))
    # splitlines knows every line break that any reader may know: the fewer the lines, the longer the fence.
    most = max((len(_TILDES.findall(line)) for line in safe.splitlines()), default=0)
    line = "~" * max(SHORTEST, most + 1)
    return f"{line}\n{safe}\n{line}"
