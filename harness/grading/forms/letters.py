r"""Forms for multiple choice: how a reply declares a letter, and what stands before and behind.

A reply is one of `BEFORE`, one of `DECLARED`, one of `BEHIND`; each row of each table is tried with rows of the others
that a seeded generator picks. What is declared last counts: right with the gold's letter, wrong with another.
`NEVER` holds replies that name the gold and are wrong. Adding a form is one line:

`{L}` the declared letter, `{l}` the same in lower case, `{T}` its option's text; `{W}` another letter.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from random import Random

from harness.grading.forms import Case, Line, Part, part_of
from harness.types import Problem

_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


DECLARED: tuple[Line, ...] = (
    Line("answer line", "Answer: {L}"),
    Line("answer line, bracketed", "Answer: ({L})"),
    Line("answer line, bold word", "**Answer:** {L}"),
    Line("answer line, all bold", "**Answer: {L}**"),
    Line("answer line, bold letter", "Answer: **{L}**"),
    Line("answer line, lower case", "answer: {l}"),
    Line("answer line, option", "Answer: option {L}"),
    Line("answer line, dollars", "Answer: ${L}$"),
    Line("answer line, quoted", 'Answer: "{L}"'),
    Line("answer line, code", "Answer: `{L}`"),
    Line("answer line, full stop", "Answer: {L}."),
    Line("answer line with its text", "Answer: {L}. {T}"),
    Line("answer line with its text, bracket", "Answer: ({L}) {T}"),
    Line("final answer line", "Final answer: {L}"),
    Line("final answer in bold", "**Final Answer:** ({L})"),
    Line("answer on the next line", "Answer:\n{L}"),
    Line("heading", "### Answer\n\n{L}"),
    Line("heading with letter", "### Answer: {L}"),
    Line("heading, bold letter", "## Final Answer\n\n**{L}**"),
    Line("the answer is", "The answer is {L}."),
    Line("the answer is, bracketed", "Therefore, the answer is ({L})."),
    Line("the answer is, bold", "So the answer is **{L}**."),
    Line("the answer is option", "The answer is option {L}."),
    Line("the answer is, lower case", "The answer is option ({l})."),
    Line("the answer is, with text", "The correct answer is ({L}) {T}."),
    Line("the answer is, not the other", "The answer is {L}, not {W}."),
    Line("the answer is, because", "The answer is {L}, because {W} is too small."),
    Line("the answer would be", "So the correct answer would be {L}."),
    Line("correct option", "The correct option is {L}."),
    Line("correct option, bracketed", "Hence the correct option is ({L})."),
    Line("correct option, colon", "Correct option: {L}"),
    Line("correct choice", "The correct choice is {L}."),
    Line("right choice", "The right choice here is ({L})."),
    Line("best choice, since", "The best choice is option {L}, since option {W} is too small."),
    Line("choice line", "Choice: {L}"),
    Line("selected option", "Selected option: {L}"),
    Line("my choice", "My choice is {L}."),
    Line("option is correct", "Therefore, option {L} is correct."),
    Line("option is the right one", "Option ({L}) is the right one."),
    Line("letter is correct", "So {L} is correct."),
    Line("letter is the answer", "Hence {L} is the right answer."),
    Line("letter is right, other wrong", "{L} is right and {W} is wrong."),
    Line("I choose", "I choose {L}."),
    Line("I would pick", "So I would pick ({L})."),
    Line("I'd go with", "I'd go with {L}."),
    Line("it is", "It's {L}."),
    Line("it is, therefore", "Therefore it is ({L})."),
    Line("it must be", "Thus it must be {L}."),
    Line("only remains", "Only ({L}) remains."),
    Line("that leaves", "That leaves {L}."),
    Line("that leaves only option", "This leaves only option {L}."),
    Line("bracketed at the end", "Hence ({L})."),
    Line("bold at the end", "So we take **{L}**."),
    Line("box", r"\boxed{{L}}"),
    Line("box in dollars", r"The answer is $\boxed{{L}}$."),
    Line("box, text", r"$\boxed{\text{{L}}}$"),
    Line("box, bracketed text", r"So it is $\boxed{\textbf{({L})}}$."),
    Line("box with its text", r"\boxed{{L}. {T}}"),
    Line("box, lower case", r"\boxed{({l})}"),
    Line("Chinese, answer is", "所以答案是{L}。"),
    Line("Chinese, answer line", "答案：{L}"),
    Line("Chinese, right answer", "因此正确答案是（{L}）。"),
    Line("Chinese, right is", "因此，正确的是{L}。"),
    Line("Chinese, choose", "故选{L}。"),
    Line("Chinese, item", "综上所述，{L}项正确。"),
    Line("Chinese, right option", "正确选项为{L}。"),
    Line("Chinese, this question", "本题选{L}。"),
    Line("Chinese, should choose", "所以应该选择{L}。"),
    Line("Japanese, right solution", "正解は{L}です。"),
    Line("Japanese, right solution, bare", "正解は{L}"),
    Line("Japanese, answer", "したがって、答えは{L}です。"),
    Line("Japanese, right option", "正しい選択肢は{L}です。"),
    Line("Japanese, is right", "よって、{L}が正しい。"),
    Line("Japanese, solution line", "解答：{L}"),
    Line("Korean, answer", "정답은 {L}입니다."),
    Line("Korean, answer line", "정답: {L}"),
    Line("Korean, therefore", "따라서 답은 {L}이다."),
    Line("French, answer", "La réponse est {L}."),
    Line("French, right answer", "La bonne réponse est la réponse {L}."),
    Line("French, answer line", "Réponse : {L}"),
    Line("Spanish, answer", "La respuesta es {L}."),
    Line("Spanish, right answer", "La respuesta correcta es la {L}."),
    Line("Spanish, right option", "La opción correcta es {L}."),
    Line("German, answer", "Die Antwort ist {L}."),
    Line("German, right answer", "Die richtige Antwort lautet {L}."),
    Line("German, answer line", "Antwort: {L}"),
    Line("Russian, answer line", "Ответ: {L}"),
    Line("Russian, right answer", "Правильный ответ: {L}."),
    Line("Hindi, answer line", "उत्तर: {L}"),
    Line("letter alone", "{L}", alone=True),
    Line("letter alone, lower case", "{l}", alone=True),
    Line("letter in brackets alone", "({L})", alone=True),
    Line("letter and text", "{L}. {T}", alone=True),
    Line("letter and text, bracket", "({L}) {T}", alone=True),
    Line("letter and text, bold", "**{L}. {T}**", alone=True),
    Line("letter and reason", "{L}. Because {W} does not hold.", alone=True),
    Line("letter and lines", "{L}\n\nThe others do not fit: {W} is too large.", alone=True),
    Line("text alone", "{T}", alone=True),
    Line("answer line, text only", "Answer: {T}", alone=True),
    Line("the answer is, text only", "The answer is {T}.", alone=True),
    Line("box, text only", r"\boxed{\text{{T}}}", alone=True),
)
"""Declares {L}."""

BEFORE: tuple[Line, ...] = (
    Line("nothing before", ""),
    Line("chain before", "We first compute the mass. It is 3 kg, so the force is 30 N.\n\n"),
    Line("option list before", "{LIST}\n\n"),
    Line("option list in a line before", "The options are {LINE}.\n"),
    Line("other is wrong", "{W} is wrong, since it is too small.\n"),
    Line("option is wrong", "Option {W} is incorrect because it ignores friction. "),
    Line("other is tempting", "Although {W} is tempting, it does not fit.\n"),
    Line("ruled out", "We can rule out {W}. "),
    Line("excludes", "The first claim fails, which excludes {W}. "),
    Line("eliminated", "So ({W}) can be eliminated.\n"),
    Line("it is not", "It is not {W}.\n"),
    Line("looks right first", "At first glance {W} looks right. But it is not.\n"),
    Line("answer corrected", "Answer: {W}\nOn reflection, that is wrong. "),
    Line("answer corrected, wait", "The answer is {W}. Wait, no. "),
    Line("answer corrected, must", "Answer: {W}\nWait, I must correct that.\n"),
    Line("box corrected", "\\boxed{{W}}\n\nActually, I made a mistake there.\n\n"),
    Line("choice corrected", "I choose {W}. Hmm, let me check once more.\n\n"),
    Line("option corrected", "So option {W} is correct. No, that cannot be, the sign is off.\n"),
    Line("thought about other", "<think>Maybe \\boxed{{W}}. Or the answer is {W}.</think>"),
    Line("formula in a box", "The heat is \\boxed{Q = C \\Delta T}.\n\n"),
    Line("arrow in a box", "The reaction is \\boxed{A \\to B}.\n\n"),
    Line("number in a box", "The mass is $\\boxed{12.5}$ kg.\n\n"),
    Line("formula before", "Let $A = B + C$, so that $D < A$.\n"),
    Line("names before", "Vitamin C and plan B play no role in group A.\n"),
    Line("each option", "(A) no. (B) hardly.\n"),
    Line("bullets", "- **{W}**: too small.\n- the others: no.\n\n"),
    Line("question back", "Is it {W}? No.\n"),
    Line("Chinese, item too strict", "{W}项说法过于绝对。"),
    Line("Chinese, item wrong", "{W}项错误，"),
    Line("Chinese, not right", "{W}不正确；"),
    Line("Chinese, excluded", "排除{W}。"),
    Line("Japanese, wrong", "{W}は誤りです。"),
    Line("Japanese, not right", "{W}は正しくありません。"),
    Line("Korean, wrong", "{W}는 틀렸습니다. "),
    Line("German, wrong", "{W} ist falsch. "),
    Line("French, wrong", "La réponse {W} est fausse. "),
    Line("Spanish, wrong", "La opción {W} es incorrecta. "),
)
"""Names {W} without claiming it to the end."""

BEHIND: tuple[Line, ...] = (
    Line("nothing behind", ""),
    Line("hope behind", "\n\nI hope this helps."),
    Line("other wrong behind", "\n\n{W} is wrong because it ignores the second condition."),
    Line("other ruled out behind", "\n\nOption {W} can be ruled out."),
    Line("other fails behind", "\nThis is why ({W}) fails."),
    Line("other would be behind", "\n\nOption {W} would be correct only if the sign were different."),
    Line("not behind", "\nIt is not {W}."),
    Line("sentence behind", "\n\nA larger sample was not needed."),
    Line("Chinese behind", "\n{W}项错误。"),
)
"""Takes nothing back."""

NEVER: tuple[Line, ...] = (
    Line("both", "Both {L} and {W} are correct."),
    Line("both, answer line", "Answer: {L} and {W}"),
    Line("both, comma", "Answer: {L}, {W}"),
    Line("both, the answer is", "The answer is both {W} and {L}."),
    Line("both in a box", r"\boxed{{L}, {W}}"),
    Line("both, box with and", r"\boxed{{W} \text{ and } {L}}"),
    Line("or", "The answer is {L} or {W}."),
    Line("or, brackets", "So it is ({W}) or ({L})."),
    Line("either", "It is either {L} or {W}."),
    Line("not", "The answer is not {L}."),
    Line("is wrong", "{L} is wrong."),
    Line("option is wrong", "So option {L} is incorrect."),
    Line("neither", "Neither {L} nor {W} fits."),
    Line("except", "All except {L} are true."),
    Line("ruled out", "We can rule out {L}."),
    Line("taken back", "Answer: {L}\n\nWait, that is wrong. Answer: {W}"),
    Line("in the thought only", "<think>\\boxed{{L}}</think>I cannot tell."),
    Line("formula in a box", r"\boxed{Q = {L} \Delta T}"),
    Line("arrow in a box", r"\boxed{{W} \to {L}}"),
    Line("Chinese, not", "答案不是{L}。"),
    Line("Chinese, item wrong", "{L}项错误。"),
    Line("Chinese, both", "{L}和{W}都正确。"),
    Line("Japanese, wrong", "{L}は誤りです。"),
    Line("Japanese, both", "正解は{L}と{W}です。"),
    Line("asked only", "Is it {L}? I do not know."),
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


def _reply(chosen: dict[str, Line], problem: Problem, letters: str, letter: str, other: str) -> str | None:
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
