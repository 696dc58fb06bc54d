r"""Forms for multiple choice: how a reply declares a letter, and what stands before and behind.

A reply is one of `BEFORE`, one of `DECLARED`, one of `BEHIND`; each row of each table is tried with rows of the others
that a seeded generator picks. What is declared last counts: right with the gold's letter, wrong with another.
`NEVER` holds replies that name the gold and are wrong. Adding a form is one line:

`{L}` the declared letter, `{l}` the same in lower case, `{T}` its option's text; `{W}` another letter.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

from harness.grading.forms import Case, Part, part_of
from harness.types import Problem

_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


@dataclass(frozen=True)
class Letter:
    """One line of a table."""

    name: str
    text: str
    alone: bool = False
    """A whole reply: nothing stands before or behind."""


DECLARED: tuple[Letter, ...] = (
    Letter("answer line", "Answer: {L}"),
    Letter("answer line, bracketed", "Answer: ({L})"),
    Letter("answer line, bold word", "**Answer:** {L}"),
    Letter("answer line, all bold", "**Answer: {L}**"),
    Letter("answer line, bold letter", "Answer: **{L}**"),
    Letter("answer line, lower case", "answer: {l}"),
    Letter("answer line, option", "Answer: option {L}"),
    Letter("answer line, dollars", "Answer: ${L}$"),
    Letter("answer line, quoted", 'Answer: "{L}"'),
    Letter("answer line, code", "Answer: `{L}`"),
    Letter("answer line, full stop", "Answer: {L}."),
    Letter("answer line with its text", "Answer: {L}. {T}"),
    Letter("answer line with its text, bracket", "Answer: ({L}) {T}"),
    Letter("final answer line", "Final answer: {L}"),
    Letter("final answer in bold", "**Final Answer:** ({L})"),
    Letter("answer on the next line", "Answer:\n{L}"),
    Letter("heading", "### Answer\n\n{L}"),
    Letter("heading with letter", "### Answer: {L}"),
    Letter("heading, bold letter", "## Final Answer\n\n**{L}**"),
    Letter("the answer is", "The answer is {L}."),
    Letter("the answer is, bracketed", "Therefore, the answer is ({L})."),
    Letter("the answer is, bold", "So the answer is **{L}**."),
    Letter("the answer is option", "The answer is option {L}."),
    Letter("the answer is, lower case", "The answer is option ({l})."),
    Letter("the answer is, with text", "The correct answer is ({L}) {T}."),
    Letter("the answer is, not the other", "The answer is {L}, not {W}."),
    Letter("the answer is, because", "The answer is {L}, because {W} is too small."),
    Letter("the answer would be", "So the correct answer would be {L}."),
    Letter("correct option", "The correct option is {L}."),
    Letter("correct option, bracketed", "Hence the correct option is ({L})."),
    Letter("correct option, colon", "Correct option: {L}"),
    Letter("correct choice", "The correct choice is {L}."),
    Letter("right choice", "The right choice here is ({L})."),
    Letter("best choice, since", "The best choice is option {L}, since option {W} is too small."),
    Letter("choice line", "Choice: {L}"),
    Letter("selected option", "Selected option: {L}"),
    Letter("my choice", "My choice is {L}."),
    Letter("option is correct", "Therefore, option {L} is correct."),
    Letter("option is the right one", "Option ({L}) is the right one."),
    Letter("letter is correct", "So {L} is correct."),
    Letter("letter is the answer", "Hence {L} is the right answer."),
    Letter("letter is right, other wrong", "{L} is right and {W} is wrong."),
    Letter("I choose", "I choose {L}."),
    Letter("I would pick", "So I would pick ({L})."),
    Letter("I'd go with", "I'd go with {L}."),
    Letter("it is", "It's {L}."),
    Letter("it is, therefore", "Therefore it is ({L})."),
    Letter("it must be", "Thus it must be {L}."),
    Letter("only remains", "Only ({L}) remains."),
    Letter("that leaves", "That leaves {L}."),
    Letter("that leaves only option", "This leaves only option {L}."),
    Letter("bracketed at the end", "Hence ({L})."),
    Letter("bold at the end", "So we take **{L}**."),
    Letter("box", r"\boxed{{L}}"),
    Letter("box in dollars", r"The answer is $\boxed{{L}}$."),
    Letter("box, text", r"$\boxed{\text{{L}}}$"),
    Letter("box, bracketed text", r"So it is $\boxed{\textbf{({L})}}$."),
    Letter("box with its text", r"\boxed{{L}. {T}}"),
    Letter("box, lower case", r"\boxed{({l})}"),
    Letter("Chinese, answer is", "所以答案是{L}。"),
    Letter("Chinese, answer line", "答案：{L}"),
    Letter("Chinese, right answer", "因此正确答案是（{L}）。"),
    Letter("Chinese, right is", "因此，正确的是{L}。"),
    Letter("Chinese, choose", "故选{L}。"),
    Letter("Chinese, item", "综上所述，{L}项正确。"),
    Letter("Chinese, right option", "正确选项为{L}。"),
    Letter("Chinese, this question", "本题选{L}。"),
    Letter("Chinese, should choose", "所以应该选择{L}。"),
    Letter("Japanese, right solution", "正解は{L}です。"),
    Letter("Japanese, right solution, bare", "正解は{L}"),
    Letter("Japanese, answer", "したがって、答えは{L}です。"),
    Letter("Japanese, right option", "正しい選択肢は{L}です。"),
    Letter("Japanese, is right", "よって、{L}が正しい。"),
    Letter("Japanese, solution line", "解答：{L}"),
    Letter("Korean, answer", "정답은 {L}입니다."),
    Letter("Korean, answer line", "정답: {L}"),
    Letter("Korean, therefore", "따라서 답은 {L}이다."),
    Letter("French, answer", "La réponse est {L}."),
    Letter("French, right answer", "La bonne réponse est la réponse {L}."),
    Letter("French, answer line", "Réponse : {L}"),
    Letter("Spanish, answer", "La respuesta es {L}."),
    Letter("Spanish, right answer", "La respuesta correcta es la {L}."),
    Letter("Spanish, right option", "La opción correcta es {L}."),
    Letter("German, answer", "Die Antwort ist {L}."),
    Letter("German, right answer", "Die richtige Antwort lautet {L}."),
    Letter("German, answer line", "Antwort: {L}"),
    Letter("Russian, answer line", "Ответ: {L}"),
    Letter("Russian, right answer", "Правильный ответ: {L}."),
    Letter("Hindi, answer line", "उत्तर: {L}"),
    Letter("letter alone", "{L}", alone=True),
    Letter("letter alone, lower case", "{l}", alone=True),
    Letter("letter in brackets alone", "({L})", alone=True),
    Letter("letter and text", "{L}. {T}", alone=True),
    Letter("letter and text, bracket", "({L}) {T}", alone=True),
    Letter("letter and text, bold", "**{L}. {T}**", alone=True),
    Letter("letter and reason", "{L}. Because {W} does not hold.", alone=True),
    Letter("letter and lines", "{L}\n\nThe others do not fit: {W} is too large.", alone=True),
    Letter("text alone", "{T}", alone=True),
    Letter("answer line, text only", "Answer: {T}", alone=True),
    Letter("the answer is, text only", "The answer is {T}.", alone=True),
    Letter("box, text only", r"\boxed{\text{{T}}}", alone=True),
)
"""Declares {L}."""

BEFORE: tuple[Letter, ...] = (
    Letter("nothing before", ""),
    Letter("chain before", "We first compute the mass. It is 3 kg, so the force is 30 N.\n\n"),
    Letter("option list before", "{LIST}\n\n"),
    Letter("option list in a line before", "The options are {LINE}.\n"),
    Letter("other is wrong", "{W} is wrong, since it is too small.\n"),
    Letter("option is wrong", "Option {W} is incorrect because it ignores friction. "),
    Letter("other is tempting", "Although {W} is tempting, it does not fit.\n"),
    Letter("ruled out", "We can rule out {W}. "),
    Letter("excludes", "The first claim fails, which excludes {W}. "),
    Letter("eliminated", "So ({W}) can be eliminated.\n"),
    Letter("it is not", "It is not {W}.\n"),
    Letter("looks right first", "At first glance {W} looks right. But it is not.\n"),
    Letter("answer corrected", "Answer: {W}\nOn reflection, that is wrong. "),
    Letter("answer corrected, wait", "The answer is {W}. Wait, no. "),
    Letter("answer corrected, must", "Answer: {W}\nWait, I must correct that.\n"),
    Letter("box corrected", "\\boxed{{W}}\n\nActually, I made a mistake there.\n\n"),
    Letter("choice corrected", "I choose {W}. Hmm, let me check once more.\n\n"),
    Letter("option corrected", "So option {W} is correct. No, that cannot be, the sign is off.\n"),
    Letter("thought about other", "<think>Maybe \\boxed{{W}}. Or the answer is {W}.</think>"),
    Letter("formula in a box", "The heat is \\boxed{Q = C \\Delta T}.\n\n"),
    Letter("arrow in a box", "The reaction is \\boxed{A \\to B}.\n\n"),
    Letter("number in a box", "The mass is $\\boxed{12.5}$ kg.\n\n"),
    Letter("formula before", "Let $A = B + C$, so that $D < A$.\n"),
    Letter("names before", "Vitamin C and plan B play no role in group A.\n"),
    Letter("each option", "(A) no. (B) hardly.\n"),
    Letter("bullets", "- **{W}**: too small.\n- the others: no.\n\n"),
    Letter("question back", "Is it {W}? No.\n"),
    Letter("Chinese, item too strict", "{W}项说法过于绝对。"),
    Letter("Chinese, item wrong", "{W}项错误，"),
    Letter("Chinese, not right", "{W}不正确；"),
    Letter("Chinese, excluded", "排除{W}。"),
    Letter("Japanese, wrong", "{W}は誤りです。"),
    Letter("Japanese, not right", "{W}は正しくありません。"),
    Letter("Korean, wrong", "{W}는 틀렸습니다. "),
    Letter("German, wrong", "{W} ist falsch. "),
    Letter("French, wrong", "La réponse {W} est fausse. "),
    Letter("Spanish, wrong", "La opción {W} es incorrecta. "),
)
"""Names {W} without claiming it to the end."""

BEHIND: tuple[Letter, ...] = (
    Letter("nothing behind", ""),
    Letter("hope behind", "\n\nI hope this helps."),
    Letter("other wrong behind", "\n\n{W} is wrong because it ignores the second condition."),
    Letter("other ruled out behind", "\n\nOption {W} can be ruled out."),
    Letter("other fails behind", "\nThis is why ({W}) fails."),
    Letter("other would be behind", "\n\nOption {W} would be correct only if the sign were different."),
    Letter("not behind", "\nIt is not {W}."),
    Letter("sentence behind", "\n\nA larger sample was not needed."),
    Letter("Chinese behind", "\n{W}项错误。"),
)
"""Takes nothing back."""

NEVER: tuple[Letter, ...] = (
    Letter("both", "Both {L} and {W} are correct."),
    Letter("both, answer line", "Answer: {L} and {W}"),
    Letter("both, comma", "Answer: {L}, {W}"),
    Letter("both, the answer is", "The answer is both {W} and {L}."),
    Letter("both in a box", r"\boxed{{L}, {W}}"),
    Letter("both, box with and", r"\boxed{{W} \text{ and } {L}}"),
    Letter("or", "The answer is {L} or {W}."),
    Letter("or, brackets", "So it is ({W}) or ({L})."),
    Letter("either", "It is either {L} or {W}."),
    Letter("not", "The answer is not {L}."),
    Letter("is wrong", "{L} is wrong."),
    Letter("option is wrong", "So option {L} is incorrect."),
    Letter("neither", "Neither {L} nor {W} fits."),
    Letter("except", "All except {L} are true."),
    Letter("ruled out", "We can rule out {L}."),
    Letter("taken back", "Answer: {L}\n\nWait, that is wrong. Answer: {W}"),
    Letter("in the thought only", "<think>\\boxed{{L}}</think>I cannot tell."),
    Letter("formula in a box", r"\boxed{Q = {L} \Delta T}"),
    Letter("arrow in a box", r"\boxed{{W} \to {L}}"),
    Letter("Chinese, not", "答案不是{L}。"),
    Letter("Chinese, item wrong", "{L}项错误。"),
    Letter("Chinese, both", "{L}和{W}都正确。"),
    Letter("Japanese, wrong", "{L}は誤りです。"),
    Letter("Japanese, both", "正解は{L}と{W}です。"),
    Letter("asked only", "Is it {L}? I do not know."),
)
"""Wrong although they name the gold."""


def cases(problem: Problem, seed: int, parts: frozenset[Part]) -> Iterator[Case]:
    """Declarations with the gold's letter, and the same with another one; then what is never right."""
    gold = problem.target.strip("(). ").upper()
    letters = _LETTERS[: len(problem.choices)] if len(problem.choices) > 1 else _LETTERS[:4]
    if gold not in letters or len(letters) < 2:
        return
    tables = {
        name: [form for form in table if part_of(f"{name}: {form.name}") in parts or form.text == ""]
        for name, table in (("declared", DECLARED), ("before", BEFORE), ("behind", BEHIND), ("never", NEVER))
    }
    for table in ("declared", "before", "behind"):
        for form in tables[table]:
            rng = Random(f"{seed}:{problem.id}:{table}:{form.name}")
            chosen = {name: rng.choice(tables[name]) for name in ("declared", "before", "behind")} | {table: form}
            if chosen["declared"].alone and table != "declared":
                chosen["declared"] = next(one for one in tables["declared"] if not one.alone)
            other = rng.choice([letter for letter in letters if letter != gold])
            for right in (True, False):
                reply = _reply(chosen, problem, letters, *((gold, other) if right else (other, gold)))
                if reply is not None:
                    yield Case(problem, "sentence", f"{table}: {form.name}", right, reply)
    for form in tables["never"]:
        other = Random(f"{seed}:{problem.id}:never:{form.name}").choice([one for one in letters if one != gold])
        reply = _filled(form.text, problem, letters, gold, other)
        if reply is not None:
            yield Case(problem, "trap", f"never: {form.name}", False, reply)


def _reply(chosen: dict[str, Letter], problem: Problem, letters: str, letter: str, other: str) -> str | None:
    declared = chosen["declared"]
    if declared.alone:
        return _filled(declared.text, problem, letters, letter, other)
    text = chosen["before"].text + declared.text + chosen["behind"].text
    return _filled(text, problem, letters, letter, other)


def _filled(text: str, problem: Problem, letters: str, letter: str, other: str) -> str | None:
    option = _option(problem, letters.index(letter))
    if option is None and any(mark in text for mark in ("{T}", "{LIST}", "{LINE}")):
        return None
    listed = [(name, choice.strip()) for name, choice in zip(letters, problem.choices, strict=False)]
    fields = {
        "L": letter,
        "l": letter.lower(),
        "W": other,
        "T": option or "",
        "LIST": "\n".join(f"{name}. {choice}" for name, choice in listed),
        "LINE": ", ".join(f"({name}) {choice}" for name, choice in listed),
    }
    return re.sub(r"\{(L|l|W|T|LIST|LINE)\}", lambda match: fields[match[1]], text)


def _option(problem: Problem, place: int) -> str | None:
    """An option's text, if it is plain, short, unlike a letter, and no other option's."""
    if place >= len(problem.choices):
        return None
    text = problem.choices[place].strip()
    folded = [" ".join(choice.casefold().split()).strip(" .") for choice in problem.choices]
    plain = re.search(r"[\n$\\{}*_`|]", text) is None and len(text) > 2 and text[0].isalnum() and text[-1].isalnum()
    return text if plain and len(text) < 200 and folded.count(folded[place]) == 1 else None
