"""Which replies abstain: generated forms, a half of which nobody looked at while the patterns were written."""

from __future__ import annotations

import hashlib
import itertools

import pytest

from harness.grading import score_completion
from harness.grading.abstaining import GRADER, UNANSWERABLE, abstains, doubts, first_doubt
from harness.types import Completion, Problem

DOUBTING = (
    "The problem does not say {what}.",
    "The question doesn't tell us {what}.",
    "Hmm, {thing} is not given here.",
    "But {thing} isn't specified anywhere.",
    "{Thing} was never mentioned.",
    "It seems that {thing} is missing.",
    "There is not enough information to find {what}.",
    "There's insufficient data to answer this.",
    "Without knowing {thing}, we cannot determine the total.",
    "We are not told {what}.",
    "We aren't given {thing}.",
    "No {noun} is given for this.",
    "The statement seems incomplete.",
    "It is impossible to determine {what}.",
    "Wait, I don't know {what}.",
    "We do not have the {noun}, so this can't be solved.",
    "Could you please tell me {what}?",
    "Please provide {thing}.",
    "The problem is underspecified.",
    "{Thing} is unknown, so the question cannot be answered.",
    "They never state {what}.",
    "More information is needed about {thing}.",
    "It's not possible to calculate this with what we have.",
    "The question lacks the necessary information.",
    "{Thing} has not been provided.",
    "I\u2019m not sure because nobody says {what} and it isn't stated.",
    "Hold on: nowhere does it say {what}; it's not specified.",
    "So we can't find {what}.",
    'The problem is ambiguous, since it only says "some".',
    "We would need to know {what}, which is not stated.",
    'Since "some" is not a number, the answer cannot be computed.',
    "Key details are missing from the question.",
    "There is no way to know {what}.",
    "The text gives no information about {thing}.",
    "This leaves {thing} undefined, so it is unclear {what}; it isn't clear at all.",
    "I am unable to answer without {thing}.",
)
SURE = (
    "First I find {what}.",
    "The total cannot be negative, so that is fine.",
    "All the needed information is given.",
    "Nothing is missing, so I can go on.",
    "We know {thing} from the first sentence.",
    "We don't know the total yet, so let us add.",
    "Is anything missing?",
    "No apples are left after that.",
    "{Thing} is given as 12.",
    "The rain is not relevant here.",
    "We do not need {thing} for this.",
    "Let the unknown be x.",
    "He does not have enough apples for everyone.",
    "That can't be right, let me check again.",
    "Now I solve for the missing number: 12 - 5 = 7.",
    "So the answer is 42.",
    "Wait, I should check {what} again.",
    "They were told to share equally.",
    "It says {what} in the question.",
    "She has given 5 of them away.",
    "The library fact is not needed.",
    "Then 3 of them are not sold.",
    "Maybe I made a mistake in the sum.",
    "To find {what}, multiply 3 by 4.",
    "Tom does not tell his friend.",
    "No more information is needed.",
    "The boxes are not full, but each holds 6.",
    "Each one cannot hold more than 8.",
    "Can we find {what}? Yes: 3 * 4 = 12.",
    "The number of days is stated clearly.",
    "I have not used {thing} so far.",
    "We can determine {what} from this.",
    "Ben has 5 more apples than Mia.",
    "I am sure that {thing} is 9.",
    "He could not sell 4 of them.",
    "The price is known: 5 dollars.",
)
SLOTS = (
    {"what": "how many pens she buys", "thing": "the price of the mugs", "noun": "price"},
    {"what": "what one box costs", "thing": "the number of bags", "noun": "number"},
    {"what": "how many apples he had at first", "thing": "Ben's starting amount", "noun": "amount"},
)


def told(form: str, slots: dict[str, str]) -> str:
    thing = slots["thing"]
    return form.format(**slots, Thing=thing[:1].upper() + thing[1:])


def unseen(form: str) -> bool:
    """By a hash: which half was held back."""
    return hashlib.sha256(form.encode()).digest()[0] % 2 == 0


def errors(held_back: bool) -> tuple[int, list[str]]:
    """How many sentences, and those that the rule takes wrongly."""
    cases = [
        (told(form, slots), wanted)
        for forms, wanted in ((DOUBTING, True), (SURE, False))
        for form, slots in itertools.product([form for form in forms if unseen(form) == held_back], SLOTS)
    ]
    return len(cases), [text for text, wanted in cases if doubts(text) != wanted]


def test_forms_that_the_patterns_were_written_with() -> None:
    count, wrong = errors(held_back=False)
    assert count > 90 and not wrong


LATER_DOUBTING = (
    "Hmm, the user hasn't said {what}.",
    "Maybe the problem forgot to mention {thing}.",
    "There seems to be a piece of the puzzle that was left out: {thing}.",
    "We need {thing} to solve it, but it was omitted.",
    "Since {thing} is unspecified, any value would do.",
    "The question as posed has no unique answer.",
    "I can't answer this without {thing}.",
    "There's a missing number here.",
    "{Thing} could be anything.",
    "Unfortunately the prompt leaves out {what}.",
    'It only says "some", which does not tell me {what}.',
    "With the details given, it's impossible to say {what}.",
    "However, we have no value for {thing}.",
    "But how many exactly? The text doesn't specify.",
    "It cannot be answered as written.",
    "One would have to know {what} to answer.",
)
LATER_SURE = (
    "Hmm, let me see {what}.",
    "The user wants to know {what}.",
    "{Thing} was mentioned above: it is 7.",
    "I need to figure out {what} first.",
    "Wait, did I add that twice?",
    "We have not counted the last bag; adding it gives 21.",
    "He could have sold more, but he did not.",
    "There are some left over, namely 4.",
    "So the missing part is 20 - 8 = 12.",
    "Without the last step it would be 30, but with it, it is 25.",
    "That gives me all I need.",
    "The numbers are small enough to check by hand.",
    "Nothing else is stated, so the total stays 15.",
    "It does not matter {what}.",
    "Since 7 is not even, it does not divide by 2.",
    "The other boxes were not opened.",
)
"""Written when the patterns were done, in other words: 23 of 48 doubts were found then, and none too many."""
LAST_DOUBTING = (
    "I notice that {thing} isn't anywhere in the problem.",
    "There is something odd: the story skips {thing}.",
    "We'd have to guess {what}.",
    "We lack {thing}.",
    "Without {thing} there's nothing to compute.",
    "I'm missing {thing}.",
    "The question gives no {noun}.",
    "Nobody tells us {what}.",
    "It's unclear {what}.",
    '"Some" is too vague to compute with.',
    "The total can't be pinned down.",
    "We know nothing about {thing}.",
    "{Thing} was not included in the question.",
    "I'd need more details to solve this.",
    "Sorry, but I cannot solve this as {thing} is unknown.",
    "So the problem is unsolvable as stated.",
)
LAST_SURE = (
    "Multiplying gives 12, and nothing was left out.",
    "{Thing} follows from the second sentence.",
    "She could not carry all of them at once.",
    "I first thought 9, but it is 8.",
    "Next I look at {thing}.",
    "That is not a whole number, so I made a slip.",
    "They are not the same boxes.",
    "He had some of them, 5 to be exact.",
    "It is clear {what}.",
    "Let me make sure: 4 + 5 = 9.",
    "Everything that is asked for is there.",
    "The rest was sold on Monday.",
    "How do I find {what}?",
    "Adding {thing} gives the total.",
    "No one else buys anything.",
    "The remaining 6 are shared.",
)
"""Written after that: 16 of 48, and 3 of 48 too many."""
FINAL_DOUBTING = (
    "I don't see {thing} in the question.",
    "As it stands, the puzzle has a gap: {thing}.",
    "The value of {thing} would have to be supplied.",
    "One number short, I cannot go further.",
    "The problem never gives {thing}.",
    "Hmm, but {thing}? Not stated.",
    "We have no idea {what}.",
    "That quantity is left unspecified.",
    "It can't be solved uniquely because {thing} is not fixed.",
    "Any answer would be a guess.",
    "To answer, I need {thing}; what is it?",
    "Insufficient information.",
    'The word "some" doesn\'t give a number.',
    "We're not told {what}, are we?",
    "An exact figure for {thing} is required but absent.",
    "{Thing} is not something we can deduce.",
)
FINAL_SURE = (
    "Given {thing}, I multiply by 3.",
    "The bus takes 40 minutes, which has nothing to do with it.",
    "There are no pens left in the box.",
    "I will not round here.",
    "He gives away half, so 6 remain.",
    "{Thing} goes into the last step.",
    "It is not hard to see that 5 * 8 = 40.",
    "She did not buy any lamps on Monday.",
    "I check by going backwards.",
    "Each of them has the same number.",
    "The unknown amount comes out as 14.",
    "Not all of them are red; 9 are.",
    "Can it be 12? Let me test that.",
    "The answer must be even.",
    "He is told to bring 3 more.",
    "This uses every number of the story.",
)
"""Written last: 12 of 48, and 3 of 48 too many. The patterns have them now; what else there is to say, they miss."""


def test_the_rule_on_forms_that_were_held_back() -> None:
    """114 of the 117 of the first half were right at the first look (all are now)."""
    assert errors(held_back=True)[1] == []
    for forms, wanted, right in ((LATER_DOUBTING, True, 48), (LATER_SURE, False, 48),
                                 (LAST_DOUBTING, True, 48), (LAST_SURE, False, 48),
                                 (FINAL_DOUBTING, True, 48), (FINAL_SURE, False, 48)):  # fmt: skip
        assert sum(doubts(told(form, slots)) == wanted for form in forms for slots in SLOTS) == right


REPLIES = {
    "The price is not given, so the answer cannot be determined.": True,
    "The problem does not say how many.\n\nI need that number to go on. Could you tell me?": True,
    "The final answer is $\\boxed{\\text{cannot be determined}}$.": True,
    "The answer is: not enough information.": True,
    "The answer is unknown.": True,
    "I don't know.": True,
    "The sum is 12.\n\nHowever, the price is not given, so this cannot be answered.": True,
    "The price is not given. If it is 5, we get 20.\n\nThe final answer is $\\boxed{20}$.": False,
    "I don't know the price, but my guess is 20.": False,
    "It is not stated how many. The answer is 20.": False,
    "The price is not given.\n\nI assume 5.\n\nThen 4 * 5 = 20.\n\nThe final answer is $\\boxed{20}$.": False,
    "The answer is 20. The number of bags is known.": False,
    "20": False,
    "": False,
}


@pytest.mark.parametrize("reply", [*REPLIES])
def test_replies(reply: str) -> None:
    assert abstains(reply) == REPLIES[reply]


def test_the_grader_calls_abstaining_right() -> None:
    problem = Problem("p", (), UNANSWERABLE, "abstain")
    for reply, wanted, answer in (
        (GRADER.gold_text(problem), 1.0, UNANSWERABLE),
        (GRADER.wrong_text(problem), 0.0, "7"),
        ("<think>The price is not given.</think>The final answer is $\\boxed{20}$.", 0.0, "20"),
    ):
        score = score_completion(problem, Completion(reply, "stop"))
        assert (score.value, score.answer) == (wanted, answer)  # type: ignore[union-attr]
    assert score_completion(problem, Completion("Well.", "stop")).status == "no_answer"  # type: ignore[union-attr]


def test_where_the_first_doubt_is() -> None:
    text = "She buys pens. Each costs 5 dollars. Wait, the number of pens is not given."
    assert first_doubt(text) == text.index("Wait") and first_doubt(text[:30]) is None


def test_long_hostile_text_takes_no_time() -> None:
    for piece in ("not ", "is not given to be ", "no no no ", "without more ", "depends on a ", "guess "):
        assert abstains(piece * 20_000) in (True, False)
