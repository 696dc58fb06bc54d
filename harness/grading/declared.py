r"""Which sentences declare an option letter, and which rule one out: tables of patterns, language by language.

`{L}` in a row stands for one letter as it is written in prose (`(B)`, `**B**`, "B"), with nothing glued to it, or for
several at once ("B and D"). A declaration counts unless it is a question, a condition ("if B is correct") or a denial.
Adding a wording is one line. `harness.grading.choice` decides which declaration holds: the last one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache

_LATIN = r"A-Za-z0-9À-ɏ"
_EDGE = rf"(?![{_LATIN}]|['’]\w|[-–][{_LATIN}])"
_FREE = rf"(?<![{_LATIN}])(?<![{_LATIN}][-–'’])"
_OPEN = r"[*_`\"'“”‘「『（(\[$]{0,4}(?:\\text(?:bf)?\{\(?)?"
_CLOSE = r"[*_`\"'“”’」』）)\]$}]{0,4}"
_WORD_JOINT = (
    r"\s?(?:/|&|\band\b|,?\s?\bor\b(?:\s(?:possibly|maybe|perhaps|even))?|和|或|与|及|と|와|과|또는|oder|und|ou|et|y|o|и|или)"
    r"\s?(?:option\s)?"
)
_COMMA_JOINT = r"\s?[,，、]\s?(?:and\s|or\s)?(?:option\s)?"
JOINT = f"(?:{_WORD_JOINT}|{_COMMA_JOINT})"
"""What joins two letters that are answered together."""
_OPTION = r"(?:(?:option|choice|answer|letter|statement|alternative)s?\s{1,3})?"
_SURELY = r"(?:(?:clearly|therefore|thus|indeed|obviously|definitely|certainly|simply|then|probably|likely)\s{1,3})?"

_GOOD = r"(?:correct|right|true|valid|best|better|appropriate|accurate|likely|plausible|suitable|probable|supported)"
_ROLE = r"(?:answer|choice|option|one|pick|fit|match)"

_ENGLISH = (
    r"\b(?:option|choice|letter|alternative|selection|pick)\s{0,3}(?:\*\*)?[:=]\s{0,3}(?:\*\*)?\s?{L}",
    r"\b(?:correct|right|best|true|final|chosen|selected|only|valid)\s{1,3}(?:option|choice|answer|one|statement|letter"
    r"|alternative|response|selection)s?\b[^.\n;:?!]{0,40}?(?:\s(?:is|are|was|must\s{1,3}be|would\s{1,3}be|should\s{1,3}be|has"
    r"\s{1,3}to\s{1,3}be|remains)|:|=)(?:\*\*)?\s{0,3}" + _SURELY + _OPTION + "{L}",
    r"\b(?:my|the|our)\s{1,3}(?:final\s{1,3})?(?:option|choice|answer|pick|selection|letter)\s{1,3}(?:is|was|would\s{1,3}be"
    r"|must\s{1,3}be|should\s{1,3}be|remains)\s{1,3}" + _SURELY + _OPTION + "{L}",
    r"{L}\s{1,3}(?:is|are|must\s{1,3}be|has\s{1,3}to\s{1,3}be)\s{1,3}(?:both\s{1,3})?"
    + _SURELY
    + r"(?:(?:(?:the|a|our|my)\s{1,3})?(?:only\s{1,3}|best\s{1,3}|most\s{1,3}|final\s{1,3})?"
    + rf"(?:{_GOOD}|{_ROLE})\b"
    + r"|left\b|what\s{1,3}we\b)(?!\s{1,3}(?:only\s{1,3})?(?:if|when|unless)\b)",
    r"{L}\s{1,3}(?:seems|appears|looks)\s{1,3}(?:to\s{1,3}be\s{1,3})?(?:(?:like\s{1,3})?the\s{1,3})?(?:most\s{1,3})?"
    + rf"{_GOOD}\b(?:\s{{1,3}}{_ROLE}\b)?(?![^\w\n]{{0,4}}(?:but|however|yet|though|only|if)\b)",
    r"\bmakes?\s{1,3}" + _OPTION + rf"{{L}}\s{{1,3}}(?:the|our)\s{{1,3}}(?:{_GOOD}\s{{1,3}})?{_ROLE}\b",
    r"{L}\s{1,3}(?:fits|matches|works|remains|holds|stands|satisfies|survives)\b(?!\s{1,3}(?:only\s{1,3})?(?:if|when)\b)",
    r"\b(?:actually|no|wait|rather|hmm|correction|thoughts?)[,:—-]{0,2}\s{1,3}"
    + _OPTION
    + r"{L}(?=\s*[.!]?\s*(?:\n|$))",
    r"\b(?:choose|chose|pick|select|go(?:ing)?\s{1,3}with|opt(?:ing)?\s{1,3}for|settle\s{1,3}(?:on|for)|vote\s{1,3}for"
    r"|conclude|take|answer\s{1,3}with)\s{1,3}" + _OPTION + "{L}",
    r"\b(?:it\s{1,3}is|it['’]s|it\s{1,3}must\s{1,3}be|it\s{1,3}has\s{1,3}to\s{1,3}be|it\s{1,3}should\s{1,3}be|that['’]s"
    r"|this\s{1,3}is|that\s{1,3}is|must\s{1,3}be)\s{1,3}"
    + _SURELY
    + r"(?:either\s{1,3}|both\s{1,3})?"
    + _OPTION
    + r"{L}(?=\s*(?:$|[.,;:!?)\n]|because\b|since\b|as\b|not\b|—|-\s))",
    r"\b(?:leaves?|leaving|left\s{1,3}with|remains)\s{1,3}(?:us\s{1,3}with\s{1,3})?(?:only\s{1,3})?" + _OPTION + "{L}",
    r"\bonly\s{1,3}" + _OPTION + r"{L}\s{1,3}(?:remains|is\s{1,3}left|is\s{1,3}possible|fits|works|holds|survives"
    r"|satisfies|matches|can\s{1,3}be|is\b)",
    r"\b(?:option|choice|statement)\s{1,3}{L}\s{1,3}(?:applies|follows)\b",
    r"(?:^|[.,;!\n]\s{0,3}|\b(?:option|choice)\s{1,3}){L}\s{1,3}it\s{1,3}is\b",
    r"\b(?:match(?:es|ing)?|correspond(?:s|ing)?\s{1,3}to|(?:which|this|that|it)\s{1,3}is)\s{1,3}(?:option|choice)\s{1,3}{L}",
    r"\b(?:not|n['’]t)\s{1,3}(?-i:\(?[A-Z]\)?),?\s{1,3}but\s{1,3}(?:rather\s{1,3})?" + _OPTION + "{L}",
    r"{L}\s{1,3}(?:makes\s{1,3}(?:more|the\s{1,3}most)|(?:fits|matches|works|suits)\s{1,3}(?:it\s{1,3})?(?:best|better))\b",
    r"{L}\s{1,3}would\s{1,3}be\s{1,3}the\s{1,3}(?:best|right|correct)\s{1,3}(?:choice|option|answer)(?=\s*(?:[.!\n]|$))",
    r"#{1,6}\s{0,3}(?:final\s{1,3}|the\s{1,3})?(?:answer|choice|option)[*:\s]{1,8}{L}(?=[.*]{0,3}\s*(?:\n|$))",
    r"(?:\b(?:so|thus|hence|therefore|accordingly|consequently)\b,?|=>|⇒|→)\s{0,3}"
    + _OPTION
    + r"{L}(?=\s{0,3}[.!]?\s*(?:\n|$))",
)
_EUROPEAN = (
    r"\br[ée]ponse\s{0,3}(?:correcte\s{0,3}|juste\s{0,3}|finale\s{0,3})?(?:\*\*)?(?:est|:)(?:\*\*)?\s{0,3}(?:donc\s{1,3})?"
    r"(?:la\s{1,3})?(?:r[ée]ponse\s{1,3}|l['’]option\s{1,3}|option\s{1,3}|lettre\s{1,3})?{L}",
    r"\b(?:choix|option|lettre|proposition)\s{1,3}(?:correcte?|exacte?|juste|bonne)\s{1,3}est\s{1,3}(?:la\s{1,3})?{L}",
    r"\b(?:option|r[ée]ponse|proposition)\s{1,3}{L}\s{1,3}est\s{1,3}(?:la\s{1,3})?(?:correcte|bonne|juste|exacte)",
    r"\brespuesta\s{0,3}(?:correcta\s{0,3}|final\s{0,3})?(?:\*\*)?(?:es|:)(?:\*\*)?\s{0,3}(?:la\s{1,3})?(?:opci[óo]n\s{1,3}"
    r"|letra\s{1,3})?{L}",
    r"\b(?:opci[óo]n|alternativa|letra)\s{1,3}(?:correcta|v[áa]lida)\s{1,3}es\s{1,3}(?:la\s{1,3})?{L}",
    r"\b(?:opci[óo]n|respuesta|alternativa)\s{1,3}{L}\s{1,3}es\s{1,3}(?:la\s{1,3})?(?:correcta|buena|v[áa]lida)",
    r"\bantwort\s{0,3}(?:\*\*)?(?:ist|lautet|:)(?:\*\*)?\s{0,3}(?:daher\s{1,3}|also\s{1,3})?(?:die\s{1,3})?(?:option\s{1,3}"
    r"|antwort\s{1,3}|buchstabe\s{1,3})?{L}",
    r"\b(?:richtig|korrekt|zutreffend)\s{1,3}(?:ist|w[äa]re)\s{1,3}(?:daher\s{1,3}|also\s{1,3})?(?:die\s{1,3})?(?:option"
    r"\s{1,3}|antwort\s{1,3}|aussage\s{1,3})?{L}",
    r"{L}\s{1,3}ist\s{1,3}(?:die\s{1,3})?(?:richtige?|korrekte?|zutreffend)\b",
    r"\b(?:donc|daher|folglich|por\s{1,3}lo\s{1,3}tanto|luego|sino|sondern|quindi|portanto),?\s{1,3}(?:la\s{1,3})?{L}"
    r"(?=\s*(?:[.,!\n]|$|ist\b))",
    r"\b(?:resposta|risposta)\s{0,3}(?:correta\s{0,3}|corretta\s{0,3})?(?:é|è|:)\s{0,3}(?:a\s{1,3}|la\s{1,3})?{L}",
)
_OTHERS = (
    r"(?:答案|选项|選項)(?:应该|應該|应|應|就|只能|必须)?(?:是|为|為|选|選|:)\s{0,3}(?:选项|選項)?\s{0,3}{L}",
    r"(?<!不)(?:正确|正確|对|對|符合题意|恰当)(?:的)?(?:答案|选项|選項|选择|選擇|说法|說法|一项|一項|项|項)?(?:应该|应|應|就)?"
    r"(?:是|为|為|:)\s{0,3}(?:选项|選項)?{L}",
    r"(?<!不)(?<!不能)(?:故|所以|因此|应|應|应该|應該|本题|此题|该题|最终|可|我)?(?:选择|選擇|选|選)(?:项|項|的是|为|為|是|了)?\s{0,3}:?\s{0,3}"
    r"(?:选项|選項)?{L}",
    r"{L}\s{0,2}(?:选项|選項|项|項)?(?:才|就)是(?:正确|正確)?(?:的)?(?:答案|选项|選項)",
    r"(?:因此|所以|故|综上|可见|而是|ではなく|したがって|よって|ゆえに|つまり|従って|따라서|그러므로|즉|아니라)[、,，]?\s{0,2}"
    r"(?:是|为|为|為|答えは|正解は|정답은|답은)?\s{0,2}(?:选项|選項|選択肢|선택지)?\s?{L}(?=\s{0,2}(?:[。.,!\n]|$|で[すあ]|だ|が正|가|이|입|번))",
    r"(?:следовательно|значит|поэтому|итак),?\s{1,3}{L}(?=\s*(?:[.,!\n]|$))",
    r"{L}\s{0,2}(?:选项|選項|项|項)?(?:都|均|皆)?(?:是|才是|才)?(?:正确|正確|对的|對的|成立|符合题意|符合|恰当)",
    r"(?:正解|答え|回答|解答|正しい(?:の|もの|選択肢|答え|記述|文)?|適切な(?:の|もの|選択肢)?)\s{0,2}(?:は|が|:|として)\s{0,3}(?:選択肢)?\s{0,2}{L}"
    r"(?!\s{0,2}(?:では|じゃ)(?!な[いく]か))",
    r"{L}\s{0,2}(?:が|は)\s{0,2}(?:最も)?(?:正しい(?!と?は(?:言|い)え)|正解(?!で?は(?:な|あ))|適切(?!で?は(?:な|あ))|答え(?!で?は(?:な|あ)))",
    r"{L}\s{0,2}を(?:選|答え)",
    r"(?:정답|답|올바른\s?(?:답|것|선택지|설명)|옳은\s?것)\s{0,2}(?:은|는|이|:)\s{0,3}{L}(?!\s{0,2}(?:가|이|는|은)\s?아)",
    r"{L}\s{0,2}(?:번)?(?:이|가)\s{0,2}(?:정답|맞|옳)",
    r"\bответ\w{0,3}\s{0,3}(?::|—|-|–|это)?\s{0,3}(?:вариант\s{1,3})?{L}",
    r"(?:правильн|верн)\w{1,4}\s{1,3}(?:вариант|ответ|утверждение)\w{0,2}\s{0,3}(?::|—|-|–|это)?\s{0,3}{L}",
    r"{L}\s{1,3}(?:—|-|–)?\s{0,3}(?:правильный|верный)\s{1,3}(?:ответ|вариант)",
    r"उत्तर\s{0,3}(?::|है|—|-)?\s{0,3}(?:विकल्प\s{1,3})?{L}",
    r"{L}\s{1,3}सही\s{1,3}है",
)
_OUT_OF_ASCII = re.compile(r"[^\x00-\x7f]")
_UNSURE = re.compile(
    r"(?i:\b(?:if|whether|suppose|supposing|assum\w{1,4}|unless|why|could|might|no)\b(?:(?!\bthen\b)[^.\n,;:!?]){0,40}$"
    r"|\bnone\s{1,3}of\b[^.\n;:!?]{0,60}$|\b(?:at\s{1,3}first|initially),?\s[^.,\n;!?]{0,30}$"
    r"|(?:\bdoubt|\bunlikely|\bdoubtful|\bimprobable|(?:\bnot|n['’]t)\s{1,3}(?:think|believe|say|mean|see))\b"
    r"[^.\n;:!?]{0,30}$"
    r"|\b(?:students?|people|many|most|some|others|they)\b[^.\n,;:!?]{0,30}$"
    r"|(?:\bnot|n['’]t|\bneither|\bnor|\bnever|\bexcept(?:\s{1,3}for)?|\bexcluding|\bthan|\ball\s{1,3}but)\s{1,3}"
    r"(?:that\s{1,3})?$)|(?:如果|假如|若|假设|もし|만약)[^。，；,\n]{0,10}$|不\s?$"
)
"""Before a declaration: it is a condition, a possibility or a denial."""
_ASKED = re.compile(r"[^.\n!。！]{0,24}[?？]")

_OUT_BEFORE = (
    r"(?i:\bnot(?:\s{1,3}be)?|n['’]t(?:\s{1,3}be)?|\bneither|\bnor|\bcannot\s{1,3}be|\brather\s{1,3}than|\bexcept(?:\s{1,3}for)?"
    r"|\bexcluding|\bexcludes?|\bother\s{1,3}than|\binstead\s{1,3}of|\bunlike|\balthough|\bwhereas|\brul(?:e|es|ed|ing)"
    r"\s{1,3}out|\beliminat(?:e|es|ed|ing)|\bdiscard(?:s|ed)?|\breject(?:s|ed)?|\bdismiss(?:es|ed)?|\bcross(?:ed)?"
    r"\s{1,3}out|(?:\bdoubt|\bunlikely|n['’]t\s{1,3}think|\bnot\s{1,3}(?:think|among|one\s{1,3}of|any\s{1,3}of))\b"
    r"[^.\n,;]{0,20}?"
    r"|\b(?:all|every(?:thing|one)|any(?:thing|one))\s{1,3}but)\s{1,3}"
    + _OPTION
    + r"|(?:不是|不选|不選|而不是|并非|排除|淘汰|除了)\s{0,2}(?:选项|選項)?"
)
_GAP = r"[ \t]{1,3}"
_OUT_AFTER = (
    rf"[*_]{{0,2}}{_GAP}(?:is|was|are|were|seems?|looks?|can|would|does|did|has|must|could|fails?|ignores?|contradicts?"
    rf"|violates?|needs?|describes?|states?|says?|mentions?|miss(?:es)?|do)\b(?={_GAP}\w)"
    rf"(?!{_GAP}(?:clearly{_GAP}|to{_GAP}be{_GAP}|both{_GAP})?(?:{_GOOD}|{_ROLE}|the|our|left)\b)"
    rf"|{_GAP}(?:cannot|can['’]t|(?:is|was|does|did|would|could|has)n['’]t)\b"
    r"|[ \t]{0,2}(?:选项|選項|项|項)?[^。；;，,\n]{0,14}?(?:不正确|不正確|错|錯|不对|不對|不符|不成立|不选|不選|排除"
    r"|过于|過於|绝对|无关|無關|偷换|有误|有誤|不能|不是(?![ \t]?[A-Z])|无法|無法|以偏概全|不合|不当|不恰当)"
    r"|[ \t]{0,2}(?:は|が|も)[^。、\n]{0,12}?(?:誤|間違|正しくな|正しくあ|不正解|違|不適切|除外|では(?:な|あ))"
    r"|[ \t]{0,2}(?:번)?(?:는|은|이|가|도)[ \t]{0,2}[^.\n]{0,8}?(?:틀|오답|아니|아닙|잘못|제외)"
    rf"|{_GAP}est{_GAP}(?:faux|fausse|incorrecte?|erron|exclu)|{_GAP}es{_GAP}(?:fals|incorrect|err[óo]ne)"
    rf"|{_GAP}ist{_GAP}(?:falsch|nicht|unrichtig|ausgeschlossen|inkorrekt)"
    rf"|{_GAP}(?:неверн|неправильн|не\s)|{_GAP}गलत"
)
_TAKEN_BACK = (
    r"(?:\b(?i:answer|it|that|option|choice)\s{1,3}(?:is|was)(?:n['’]t|\s{1,3}not)\s{1,3}" + _OPTION + r"|答案不是){L}",
    r"{L}\s{1,3}(?:is|was)\s{1,3}(?:wrong|incorrect|false|ruled\s{1,3}out|eliminated)\b",
)
_TURN = (
    r"\bscratch\s{1,3}that\b|\bcorrection\b|\bcorrect\s{1,3}(?:that|myself)\b|\b(?:that|this|it)(?:\s{1,3}(?:is|was)|['’]s)"
    r"\s{1,3}(?:wrong|incorrect|not\s{1,3}right|a\s{1,3}mistake)\b|\bno\s{1,3}wait\b|\bmade\s{1,3}an?\s{1,3}(?:mistake|error|slip)\b|\bno[,.]"
    r"|\bthat\s{1,3}cannot\s{1,3}be\b"
)
STRONG_RETRACTION = re.compile(rf"(?i:{_TURN})|不对|更正")
"""A reply takes back what it said before."""
RETRACTION = re.compile(
    rf"(?i:{_TURN}|\bwait\b|\bhmm\b|\bactually\b|\bon\s{{1,3}}(?:reflection|closer|second\s{{1,3}}thoughts?)\b)"
    r"|不对|更正|等等|いや|待って|잠깐"
)
"""A reply goes back on what it said before, or begins to."""


_BEFORE, _AFTER = 96, 64
"""Characters before and behind a letter in which the words of its declaration stand."""
_WINDOW, _BUDGET = 2_000, 16_000
"""Characters that are looked at at once, and in all."""


@dataclass(frozen=True, order=True)
class Declared:
    """One declaration."""

    start: int
    end: int
    letters: str
    """ "B", or "B,D" for several at once."""
    explicit: bool = False
    """In a box, or after "the answer is"."""
    box: bool = False
    line: bool = False
    """On an answer line."""


@cache
def _compiled(letters: str) -> tuple[re.Pattern[str], re.Pattern[str], re.Pattern[str], re.Pattern[str]]:
    """(declarations in Latin script, in any other, what rules a letter out, what takes a declaration back)."""
    one = rf"{_FREE}{_OPEN}(?-i:[{letters}]){_EDGE}{_CLOSE}"
    bracketed = rf"\((?-i:[{letters.lower()}])\)"
    named = rf"(?<=option\s)(?-i:[{letters.lower()}]){_EDGE}|(?<=choice\s)(?-i:[{letters.lower()}]){_EDGE}"
    more = rf"{_WORD_JOINT}{one}|{_COMMA_JOINT}{one}(?!\s{{1,3}}(?!(?:and|or|are|both|all|were)\b)[A-Za-z])"
    several = rf"(?P<letters>(?:{one}|{bracketed}|{named})(?:{more})*)"

    def union(rows: tuple[str, ...]) -> re.Pattern[str]:
        named = [row.replace("{L}", several.replace("letters", f"l{place}")) for place, row in enumerate(rows)]
        return re.compile("|".join(named), re.IGNORECASE)

    joined = rf"(?:{JOINT}{_OPEN}[{letters}]{_EDGE}{_CLOSE})*"
    ruled = rf"{_OPEN}[{letters}]{_EDGE}{_CLOSE}{joined}"
    out = re.compile(rf"(?:{_OUT_BEFORE}){ruled}|{_FREE}{ruled}(?:{_OUT_AFTER}|[^.\n!?。！？]{{0,40}}[?？])")
    back = union(_TAKEN_BACK)
    return union(_ENGLISH + _EUROPEAN), union(_OTHERS), out, back


def last_declaration(text: str, letters: str, withdrawn: Sequence[tuple[int, str]] = ()) -> Declared | None:
    """The declaration that ends last; questions, conditions, denials and what is `withdrawn` later do not count.

    Looked at are the last letters of the text, so that this stays linear and quick however many there are.
    """
    latin, other, _, _ = _compiled(letters)
    patterns = (latin, other) if _OUT_OF_ASCII.search(text) else (latin,)
    for start, stop in _windows(text, letters):
        found = [one for pattern in patterns for one in _declared(pattern, text, start, stop, letters)]
        kept = [one for one in found if not is_withdrawn(one, withdrawn)]
        if kept:
            return max(kept, key=lambda one: (one.end, one.start))
    return None


def _declared(pattern: re.Pattern[str], text: str, start: int, stop: int, letters: str) -> Iterator[Declared]:
    at = start
    while (match := pattern.search(text, at, stop)) is not None:
        at = max(match.start() + 1, match.end() - 3)
        said = next(value for value in match.groupdict().values() if value is not None)
        before = text[max(0, match.start() - 60) : match.start()]
        if _UNSURE.search(before) is None and _ASKED.match(text, match.end()) is None:
            yield Declared(match.start(), match.end(), _letters_of(said, letters))


def _windows(text: str, letters: str) -> Iterator[tuple[int, int]]:
    """Where declarations may stand, the last first: around letters that are not glued to others, and no article."""
    spots = [match.start() for match in _mention(letters).finditer(text)]
    budget = _BUDGET
    while spots and budget > 0:
        stop = spots[-1] + _AFTER
        start = max(0, spots.pop() - _BEFORE)
        while spots and spots[-1] + _AFTER >= start and stop - spots[-1] < _WINDOW:
            start = max(0, spots.pop() - _BEFORE)
        budget -= stop - start
        yield start, stop


@cache
def _mention(letters: str) -> re.Pattern[str]:
    verbs = (
        "is|was|and|or|but|it|must|has|would|seems|appears|looks|fits|holds|matches|works|remains|satisfies|stands|makes"
        "|ist|est|es|to|as|because"
    )
    article = rf"(?!(?<=A)\s(?!(?:{verbs})\b)[a-z])"
    small = letters.lower()
    return re.compile(
        rf"{_FREE}(?:[{letters}]{_EDGE}{article}|(?<=\()[{small}](?=\))|(?<=[Oo]ption\s)[{small}]{_EDGE}"
        rf"|(?<=[Cc]hoice\s)[{small}]{_EDGE})"
    )


def withdrawals(text: str, letters: str) -> list[tuple[int, str]]:
    """Where the text calls letters wrong after all, and which: "it is not A", "A is wrong"."""
    return [
        (match.start(), _letters_of(next(value for value in match.groupdict().values() if value is not None), letters))
        for match in _compiled(letters)[3].finditer(text)
    ]


def is_withdrawn(said: Declared, withdrawn: Sequence[tuple[int, str]]) -> bool:
    """Whether the declared letter is called wrong behind its declaration."""
    return any(start >= said.end and denied == said.letters for start, denied in reversed(withdrawn))


def _letters_of(said: str, letters: str) -> str:
    """The letters of "(B) and (D)" as "B,D", each once."""
    lone = re.findall(rf"{_FREE}[{letters}{letters.lower()}]{_EDGE}", said.replace("\\text", " "))
    return ",".join(dict.fromkeys(letter.upper() for letter in lone))


def without_ruled_out(text: str, letters: str) -> str:
    """The text without the letters that it rules out."""
    # Most texts have a letter at the end of a word; for one without, a search for it is much quicker than for the rest.
    return _compiled(letters)[2].sub(" ", text) if _ends_a_word(letters).search(text) else text


@cache
def _ends_a_word(letters: str) -> re.Pattern[str]:
    return re.compile(rf"[{letters}]{_EDGE}", re.IGNORECASE)
