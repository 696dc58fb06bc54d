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

from harness.grading.forms import Case, Part, Wording, part_of
from harness.types import Problem

_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


DECLARED: tuple[Wording, ...] = (
    Wording("answer line", "Answer: {L}"),
    Wording("answer line, bracketed", "Answer: ({L})"),
    Wording("answer line, bold word", "**Answer:** {L}"),
    Wording("answer line, all bold", "**Answer: {L}**"),
    Wording("answer line, bold letter", "Answer: **{L}**"),
    Wording("answer line, lower case", "answer: {l}"),
    Wording("answer line, option", "Answer: option {L}"),
    Wording("answer line, dollars", "Answer: ${L}$"),
    Wording("answer line, quoted", 'Answer: "{L}"'),
    Wording("answer line, code", "Answer: `{L}`"),
    Wording("answer line, full stop", "Answer: {L}."),
    Wording("answer line with its text", "Answer: {L}. {T}"),
    Wording("answer line with its text, bracket", "Answer: ({L}) {T}"),
    Wording("final answer line", "Final answer: {L}"),
    Wording("final answer in bold", "**Final Answer:** ({L})"),
    Wording("answer on the next line", "Answer:\n{L}"),
    Wording("heading", "### Answer\n\n{L}"),
    Wording("heading with letter", "### Answer: {L}"),
    Wording("heading, bold letter", "## Final Answer\n\n**{L}**"),
    Wording("the answer is", "The answer is {L}."),
    Wording("the answer is, bracketed", "Therefore, the answer is ({L})."),
    Wording("the answer is, bold", "So the answer is **{L}**."),
    Wording("the answer is option", "The answer is option {L}."),
    Wording("the answer is, lower case", "The answer is option ({l})."),
    Wording("the answer is, with text", "The correct answer is ({L}) {T}."),
    Wording("the answer is, not the other", "The answer is {L}, not {W}."),
    Wording("the answer is, because", "The answer is {L}, because {W} is too small."),
    Wording("the answer would be", "So the correct answer would be {L}."),
    Wording("correct option", "The correct option is {L}."),
    Wording("correct option, bracketed", "Hence the correct option is ({L})."),
    Wording("correct option, colon", "Correct option: {L}"),
    Wording("correct choice", "The correct choice is {L}."),
    Wording("right choice", "The right choice here is ({L})."),
    Wording("best choice, since", "The best choice is option {L}, since option {W} is too small."),
    Wording("choice line", "Choice: {L}"),
    Wording("selected option", "Selected option: {L}"),
    Wording("my choice", "My choice is {L}."),
    Wording("option is correct", "Therefore, option {L} is correct."),
    Wording("option is the right one", "Option ({L}) is the right one."),
    Wording("letter is correct", "So {L} is correct."),
    Wording("letter is the answer", "Hence {L} is the right answer."),
    Wording("letter is right, other wrong", "{L} is right and {W} is wrong."),
    Wording("I choose", "I choose {L}."),
    Wording("I would pick", "So I would pick ({L})."),
    Wording("I'd go with", "I'd go with {L}."),
    Wording("it is", "It's {L}."),
    Wording("it is, therefore", "Therefore it is ({L})."),
    Wording("it must be", "Thus it must be {L}."),
    Wording("only remains", "Only ({L}) remains."),
    Wording("that leaves", "That leaves {L}."),
    Wording("that leaves only option", "This leaves only option {L}."),
    Wording("bracketed at the end", "Hence ({L})."),
    Wording("bold at the end", "So we take **{L}**."),
    Wording("box", r"\boxed{{L}}"),
    Wording("box in dollars", r"The answer is $\boxed{{L}}$."),
    Wording("box, text", r"$\boxed{\text{{L}}}$"),
    Wording("box, bracketed text", r"So it is $\boxed{\textbf{({L})}}$."),
    Wording("box with its text", r"\boxed{{L}. {T}}"),
    Wording("box, lower case", r"\boxed{({l})}"),
    Wording("Chinese, answer is", "所以答案是{L}。"),
    Wording("Chinese, answer line", "答案：{L}"),
    Wording("Chinese, right answer", "因此正确答案是（{L}）。"),
    Wording("Chinese, right is", "因此，正确的是{L}。"),
    Wording("Chinese, choose", "故选{L}。"),
    Wording("Chinese, item", "综上所述，{L}项正确。"),
    Wording("Chinese, right option", "正确选项为{L}。"),
    Wording("Chinese, this question", "本题选{L}。"),
    Wording("Chinese, should choose", "所以应该选择{L}。"),
    Wording("Japanese, right solution", "正解は{L}です。"),
    Wording("Japanese, right solution, bare", "正解は{L}"),
    Wording("Japanese, answer", "したがって、答えは{L}です。"),
    Wording("Japanese, right option", "正しい選択肢は{L}です。"),
    Wording("Japanese, is right", "よって、{L}が正しい。"),
    Wording("Japanese, solution line", "解答：{L}"),
    Wording("Korean, answer", "정답은 {L}입니다."),
    Wording("Korean, answer line", "정답: {L}"),
    Wording("Korean, therefore", "따라서 답은 {L}이다."),
    Wording("French, answer", "La réponse est {L}."),
    Wording("French, right answer", "La bonne réponse est la réponse {L}."),
    Wording("French, answer line", "Réponse : {L}"),
    Wording("Spanish, answer", "La respuesta es {L}."),
    Wording("Spanish, right answer", "La respuesta correcta es la {L}."),
    Wording("Spanish, right option", "La opción correcta es {L}."),
    Wording("German, answer", "Die Antwort ist {L}."),
    Wording("German, right answer", "Die richtige Antwort lautet {L}."),
    Wording("German, answer line", "Antwort: {L}"),
    Wording("Russian, answer line", "Ответ: {L}"),
    Wording("Russian, right answer", "Правильный ответ: {L}."),
    Wording("Hindi, answer line", "उत्तर: {L}"),
    Wording("letter alone", "{L}", alone=True),
    Wording("letter alone, lower case", "{l}", alone=True),
    Wording("letter in brackets alone", "({L})", alone=True),
    Wording("letter and text", "{L}. {T}", alone=True),
    Wording("letter and text, bracket", "({L}) {T}", alone=True),
    Wording("letter and text, bold", "**{L}. {T}**", alone=True),
    Wording("letter and reason", "{L}. Because {W} does not hold.", alone=True),
    Wording("letter and lines", "{L}\n\nThe others do not fit: {W} is too large.", alone=True),
    Wording("text alone", "{T}", alone=True),
    Wording("answer line, text only", "Answer: {T}", alone=True),
    Wording("the answer is, text only", "The answer is {T}.", alone=True),
    Wording("box, text only", r"\boxed{\text{{T}}}", alone=True),
)
"""Declares {L}."""

BEFORE: tuple[Wording, ...] = (
    Wording("nothing before", ""),
    Wording("chain before", "We first compute the mass. It is 3 kg, so the force is 30 N.\n\n"),
    Wording("option list before", "{LIST}\n\n"),
    Wording("option list in a line before", "The options are {LINE}.\n"),
    Wording("other is wrong", "{W} is wrong, since it is too small.\n"),
    Wording("option is wrong", "Option {W} is incorrect because it ignores friction. "),
    Wording("other is tempting", "Although {W} is tempting, it does not fit.\n"),
    Wording("ruled out", "We can rule out {W}. "),
    Wording("excludes", "The first claim fails, which excludes {W}. "),
    Wording("eliminated", "So ({W}) can be eliminated.\n"),
    Wording("it is not", "It is not {W}.\n"),
    Wording("looks right first", "At first glance {W} looks right. But it is not.\n"),
    Wording("answer corrected", "Answer: {W}\nOn reflection, that is wrong. "),
    Wording("answer corrected, wait", "The answer is {W}. Wait, no. "),
    Wording("answer corrected, must", "Answer: {W}\nWait, I must correct that.\n"),
    Wording("box corrected", "\\boxed{{W}}\n\nActually, I made a mistake there.\n\n"),
    Wording("choice corrected", "I choose {W}. Hmm, let me check once more.\n\n"),
    Wording("option corrected", "So option {W} is correct. No, that cannot be, the sign is off.\n"),
    Wording("thought about other", "<think>Maybe \\boxed{{W}}. Or the answer is {W}.</think>"),
    Wording("formula in a box", "The heat is \\boxed{Q = C \\Delta T}.\n\n"),
    Wording("arrow in a box", "The reaction is \\boxed{A \\to B}.\n\n"),
    Wording("number in a box", "The mass is $\\boxed{12.5}$ kg.\n\n"),
    Wording("formula before", "Let $A = B + C$, so that $D < A$.\n"),
    Wording("names before", "Vitamin C and plan B play no role in group A.\n"),
    Wording("each option", "(A) no. (B) hardly.\n"),
    Wording("bullets", "- **{W}**: too small.\n- the others: no.\n\n"),
    Wording("question back", "Is it {W}? No.\n"),
    Wording("Chinese, item too strict", "{W}项说法过于绝对。"),
    Wording("Chinese, item wrong", "{W}项错误，"),
    Wording("Chinese, not right", "{W}不正确；"),
    Wording("Chinese, excluded", "排除{W}。"),
    Wording("Japanese, wrong", "{W}は誤りです。"),
    Wording("Japanese, not right", "{W}は正しくありません。"),
    Wording("Korean, wrong", "{W}는 틀렸습니다. "),
    Wording("German, wrong", "{W} ist falsch. "),
    Wording("French, wrong", "La réponse {W} est fausse. "),
    Wording("Spanish, wrong", "La opción {W} es incorrecta. "),
)
"""Names {W} without claiming it to the end."""

BEHIND: tuple[Wording, ...] = (
    Wording("nothing behind", ""),
    Wording("hope behind", "\n\nI hope this helps."),
    Wording("other wrong behind", "\n\n{W} is wrong because it ignores the second condition."),
    Wording("other ruled out behind", "\n\nOption {W} can be ruled out."),
    Wording("other fails behind", "\nThis is why ({W}) fails."),
    Wording("other would be behind", "\n\nOption {W} would be correct only if the sign were different."),
    Wording("not behind", "\nIt is not {W}."),
    Wording("sentence behind", "\n\nA larger sample was not needed."),
    Wording("Chinese behind", "\n{W}项错误。"),
)
"""Takes nothing back."""

NEVER: tuple[Wording, ...] = (
    Wording("both", "Both {L} and {W} are correct."),
    Wording("both, answer line", "Answer: {L} and {W}"),
    Wording("both, comma", "Answer: {L}, {W}"),
    Wording("both, the answer is", "The answer is both {W} and {L}."),
    Wording("both in a box", r"\boxed{{L}, {W}}"),
    Wording("both, box with and", r"\boxed{{W} \text{ and } {L}}"),
    Wording("or", "The answer is {L} or {W}."),
    Wording("or, brackets", "So it is ({W}) or ({L})."),
    Wording("either", "It is either {L} or {W}."),
    Wording("not", "The answer is not {L}."),
    Wording("is wrong", "{L} is wrong."),
    Wording("option is wrong", "So option {L} is incorrect."),
    Wording("neither", "Neither {L} nor {W} fits."),
    Wording("except", "All except {L} are true."),
    Wording("ruled out", "We can rule out {L}."),
    Wording("taken back", "Answer: {L}\n\nWait, that is wrong. Answer: {W}"),
    Wording("in the thought only", "<think>\\boxed{{L}}</think>I cannot tell."),
    Wording("formula in a box", r"\boxed{Q = {L} \Delta T}"),
    Wording("arrow in a box", r"\boxed{{W} \to {L}}"),
    Wording("Chinese, not", "答案不是{L}。"),
    Wording("Chinese, item wrong", "{L}项错误。"),
    Wording("Chinese, both", "{L}和{W}都正确。"),
    Wording("Japanese, wrong", "{L}は誤りです。"),
    Wording("Japanese, both", "正解は{L}と{W}です。"),
    Wording("asked only", "Is it {L}? I do not know."),
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


def _reply(chosen: dict[str, Wording], problem: Problem, letters: str, letter: str, other: str) -> str | None:
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
