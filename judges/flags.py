"""What is odd about a model's answers before any judge has seen them: signs that a score measures something else.

A constant answer can top a leaderboard, an echo or an empty answer can win against a weak judge, and text that talks to
the judge can move it. None of this changes a score: it is said beside it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from harness.refusals import refuses

MOST = 0.02
"""Share of answers above which a sign is worth a warning."""
CONSTANT = 0.5
"""Share of answers that are one and the same text above which a model counts as constant."""
_FEWEST = 8  # below that, equal answers may be chance: yes/no questions
_HEAD = 20_000  # characters in which text that talks to a judge is looked for
_TO_THE_JUDGE = re.compile(
    r"(?:note|message|instruction)s?\s+(?:to|for)\s+(?:the\s+)?(?:judge|evaluator|grader|rater|assistant)"
    r"|ignore\s+(?:all\s+|any\s+)?(?:the\s+)?(?:previous|above|other)\s+(?:instructions|criteria|text|answers?)"
    r"|(?:give|rate|score|award)\s+(?:me|this(?:\s+answer)?|it)\s+(?:a\s+|the\s+)?(?:10|ten|full|perfect|highest|maximum)"
    r"|\[\[(?:10|A>>B|B>>A|A|B)\]\]|<\|im_(?:start|end)\|>",
    re.IGNORECASE,
)


def flag_answers(answers: Sequence[str], questions: Sequence[str]) -> list[str]:
    """One line for each sign, most telling first; `answers` and `questions` are aligned."""
    total = len(answers)
    if total == 0:
        return []
    folded = [" ".join(answer.split()) for answer in answers]
    text, count = Counter(folded).most_common(1)[0]
    found: list[str] = []
    if total >= _FEWEST and text and count > CONSTANT * total and len(set(questions)) > 1:
        found.append(
            f"constant answer: {count} of {total} answers are one and the same text; no win rate of it means much"
        )
    signs = {
        "empty": sum(not answer for answer in folded),
        "an echo of the question": sum(
            bool(answer) and answer == " ".join(question.split())
            for answer, question in zip(folded, questions, strict=True)
        ),
        "refusals": sum(map(refuses, answers)),
        "text that talks to the judge": sum(_TO_THE_JUDGE.search(answer[:_HEAD]) is not None for answer in answers),
    }
    found += [f"{number} of {total} answers are {sign}" for sign, number in signs.items() if number > MOST * total]
    return found
