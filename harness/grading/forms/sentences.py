r"""The table of sentence forms: how a reply states a value, and how it mentions one that it does not claim.

A *statement* must be graded as its value is: right with the gold, wrong with another value. A *trap* holds the gold and
must be graded wrong all the same. Adding a form is one line: a name, the text, and what value it takes.

* `{value}`: the value. `{other}`: another value of the same shape (the gold itself where the value is a wrong one).
* of a list, `{each}` are its values in dollars, `{named}` with their letter, `{boxes}`, `{words}` in plain; `{some}`
  and `{part}` are all but one.
* takes "any": a box or a bare answer line; "formula": inside mathematics; "plain": a number in running text.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Takes = Literal["any", "formula", "plain"]
ALL = ("math", "number", "integer")
MATH = ("math",)
VALUES = "whole decimal formula"


@dataclass(frozen=True)
class Sentence:
    """One line of a table."""

    name: str
    text: str
    takes: Takes = "any"
    graders: tuple[str, ...] = ALL
    kinds: str = ""
    """Only for golds of these kinds ("unsigned": a number without a sign; "count": a whole one); empty: all."""
    apart: str = ""
    """Numbers for which a trap is none: 1/1 is 1."""


STATEMENTS: tuple[Sentence, ...] = (
    Sentence("box alone", r"\boxed{{value}}"),
    Sentence("box in dollars", r"$\boxed{{value}}$"),
    Sentence("box in a sentence", r"The final answer is $\boxed{{value}}$."),
    Sentence("box on a display line", "Therefore we have\n\\[\n\\boxed{{value}}\n\\]"),
    Sentence("box in double dollars", "So\n\n$$\\boxed{{value}}$$"),
    Sentence("box by \\fbox", r"Hence $\fbox{{value}}$"),
    Sentence("box after an equals sign", r"Thus $$\text{total} = \boxed{{value}}.$$", kinds=VALUES),
    Sentence("box with words behind", "\\boxed{{value}}\n\nThis is what was asked for in step 2."),
    Sentence("box with a check behind", "$\\boxed{{value}}$. As a check, $3 + 4 = 7$ holds."),
    Sentence(
        "two boxes, the last counts",
        "First \\boxed{{other}}.\n\nThat was a slip. The answer: \\boxed{{value}}",
        kinds=VALUES,
    ),
    Sentence("think block", "<think>perhaps \\boxed{{other}}, let me see</think>\nThe answer is \\boxed{{value}}."),
    Sentence("minerva sentence", "Final Answer: The final answer is ${value}$. I hope it is correct.", "formula"),
    Sentence("answer line", "We add them up.\n\nAnswer: {value}"),
    Sentence("answer line with dollars", "We add them up.\n\nAnswer: ${value}$", "formula"),
    Sentence("answer line in bold", "**Answer:** ${value}$", "formula"),
    Sentence("answer line, all bold", "**Answer: {value}**", "plain"),
    Sentence("final answer line", "Final Answer: ${value}$", "formula"),
    Sentence("heading and line", "### Final Answer\n\n${value}$", "formula"),
    Sentence("hashes", "He has 3 + 4 of them.\n#### {value}", "plain"),
    Sentence("hashes with dollars", "#### ${value}$", "formula"),
    Sentence("the answer is", "The answer is ${value}$.", "formula"),
    Sentence("the answer is, plain", "So the answer is {value}.", "plain"),
    Sentence("the answer is, display", "The answer is\n\\[{value}\\]", "formula"),
    Sentence("the answer is, round", r"Therefore, the answer is \({value}\).", "formula"),
    Sentence("the answer is, because", "The answer is {value}, because 2 + 2 = 4.", "plain"),
    Sentence("the answer is, as", "The answer is ${value}$, since the first term is $2$.", "formula"),
    Sentence("correct answer", "The correct answer is ${value}$", "formula"),
    Sentence("the answer to", "The answer to the question is {value}.", "plain"),
    Sentence("the answer is not that", "The answer is not ${other}$, it is ${value}$.", "formula", kinds=VALUES),
    Sentence("not the other", "The answer is {value}, not {other}.", "plain"),
    Sentence("first thought", "At first I thought it was {other}. But the answer is {value}.", "plain"),
    Sentence(
        "answer corrected", "Answer: {other}\n\nWait, that is wrong. I must count again.\n\nAnswer: {value}", "plain"
    ),
    Sentence("Chinese", "因此，答案是 ${value}$。", "formula"),
    Sentence("Chinese, plain", "所以最终答案是{value}。", "plain"),
    Sentence("French", "La réponse est ${value}$.", "formula"),
    Sentence("Spanish", "La respuesta es ${value}$.", "formula"),
    Sentence("German", "Die Antwort lautet ${value}$.", "formula"),
    Sentence("Russian", "Ответ: ${value}$", "formula"),
    Sentence("Japanese", "答えは ${value}$ です。", "formula"),
    Sentence("Korean", "정답은 ${value}$ 입니다.", "formula"),
    Sentence("bare", "{value}", "plain"),
    Sentence("bare formula", "${value}$", "formula"),
    Sentence("running formula", "Putting this together we obtain ${value}$.", "formula"),
    Sentence("running formula, equals", "Hence the value we look for equals ${value}$.", "formula", kinds=VALUES),
    Sentence("running formula, chain", "So $a + b = {value}$.", "formula", kinds="whole decimal"),
    Sentence("running formula, display", "Simplifying both sides gives\n$$ {value} $$", "formula"),
    Sentence("running formula, subject", "So the area of triangle $PQR$ is ${value}$.", "formula", kinds=VALUES),
    Sentence("phrase, subject", "Answer: the number of zeros of $g(x)$ equals ${value}$", "formula", kinds=VALUES),
    Sentence(
        "phrase, subject in words", "The answer is: the sum of all such $m$ is ${value}$.", "formula", kinds=VALUES
    ),
    Sentence("side condition", "So the answer is ${value}$, for constants $A$ and $B$.", "formula"),
    Sentence("side condition, where", "Therefore the answer is ${value}$, where $n$ is an integer.", "formula", MATH),
    Sentence("running text", "We add them. So in total that makes {value}.", "plain"),
    Sentence("running text, unit", "After that she has {value} apples.", "plain"),
    Sentence("running text, left", "So there are {value} of them left over.", "plain"),
    Sentence("running text, exclaimed", "So the total is {value}!", "plain"),
    Sentence("running text, therefore", "7 * 8 = 56 and so on. Therefore, it takes {value} hours in total.", "plain"),
    Sentence("running text, bold", "So he sold **{value}** of them.", "plain"),
    Sentence("running text, equals", "3 + 9 + 2 = {value}", "plain"),
    Sentence("running text, equals and words", "12 * 4 - 3 = {value} apples are left.", "plain"),
    Sentence("running text, approx", "The answer is approx. {value}.", "plain"),
    Sentence("running text, number", "The answer is No. {value}.", "plain", ("number", "integer"), "count"),
    Sentence("running text, dollars", "So he pays ${value} for it.", "plain", ("number", "integer"), "unsigned"),
    Sentence("running text, rupees", "The answer is Rs. {value}.", "plain", ("number", "integer"), "unsigned"),
    Sentence(
        "running text, stray dollar", "It cost about $40, so each of them pays {value}$", "plain", ALL, "unsigned"
    ),
    Sentence("calculator line", "16 - 3 - 4 = <<16-3-4=9>>9 eggs a day.\n#### {value}", "plain"),
    Sentence("students", "So there are {value} students in the class.", "plain"),
    Sentence("minutes", "It took him {value} minutes to finish all of it.", "plain"),
    Sentence("total of", "In the end she earned a total of {value} dollars.", "plain"),
    Sentence(
        "every day", "Thus Janet makes ${value} every day at the market.", "plain", ("number", "integer"), "unsigned"
    ),
    Sentence("that's", "That's {value} cups per day!", "plain"),
    Sentence("colon", "Total: {value}", "plain"),
    Sentence("variable equals, plain", "n = {value}", "plain"),
    Sentence("variable equals, sentence", "We conclude that n = {value}.", "plain"),
    Sentence("number of ways", "Therefore the number of ways is {value}.", "plain"),
    Sentence("is the answer", "{value} is the answer.", "plain"),
    Sentence("is the smallest", "So {value} is the smallest such number.", "plain"),
    Sentence("equals", "The sum of the digits equals {value}.", "plain"),
    Sentence("remainder", "Hence the remainder is {value}.", "plain"),
    Sentence("remainder when divided", "The remainder when N is divided by 1000 is {value}.", "plain"),
    Sentence("sum of two, formula", "Hence $m + n = 17 + 25 = {value}$.", "formula", kinds="whole decimal"),
    Sentence("square units", "The area is {value} square units.", "plain"),
    Sentence("parenthesis behind", "So the answer is {value} (as we saw in step 2).", "plain"),
    Sentence("comma and clause", "So the answer is {value}, which is less than 90000.", "plain"),
    Sentence("dash behind", "The answer is {value} - this completes the solution.", "plain", kinds="unsigned"),
    Sentence("in summary", "In summary: 3 boxes, 4 bags, and so {value} items altogether.", "plain"),
    Sentence("cost", "It costs $4 for 2 of them, so that the total cost is ${value}.", "plain", ALL, "unsigned"),
    Sentence("cubic metres", "The volume is {value} $m^3$.", "plain"),
    Sentence("for all", "So the answer is ${value}$ for all $n \\ge 1$.", "formula"),
    Sentence(
        "in the interval", "Hence the only solution in the interval $[0, 90)$ is ${value}$.", "formula", MATH, VALUES
    ),
    Sentence("value of the expression", "Therefore the value of $x^2 + y^2$ is ${value}$.", "formula", kinds=VALUES),
    Sentence("maximum of", "So the maximum of $f(x)$ on $[1, 8]$ is $\\boxed{{value}}$.", kinds=VALUES),
    Sentence("so that", "We have $a = 3$ and $b = 4$, so that the answer is ${value}$.", "formula"),
    Sentence("display with a full stop", "The answer is\n$$\n{value}.\n$$", "formula", kinds="whole formula"),
    Sentence("aligned", "\\begin{align*}\ns &= 2 + 3 \\\\\n&= 5.\n\\end{align*}\nThe answer is ${value}$.", "formula"),
    Sentence("bold formula", "The answer is **${value}$**.", "formula"),
    Sentence("code", "The answer is `{value}`.", "plain"),
    Sentence("quoted", 'The answer is "{value}".', "plain"),
    Sentence("Answer tag", "<answer>{value}</answer>", "plain"),
    Sentence(
        "hope",
        "The final answer is ${value}$.\n\nI hope this helps! Let me know if you have 2 more questions.",
        "formula",
    ),
    Sentence("box with a note", "$\\boxed{{value}}$ (see step 4)."),
    Sentence("box in a list", "1. Compute.\n2. Compare.\n3. Answer: $\\boxed{{value}}$"),
    Sentence("box corrected", "$\\boxed{{other}}$\n\nWait, that is not right.\n\n$\\boxed{{value}}$", kinds=VALUES),
    Sentence("answer corrected, formula", "The answer is ${other}$. Wait, no. The answer is ${value}$.", "formula"),
    Sentence("Italian", "La risposta è ${value}$.", "formula"),
    Sentence("Portuguese", "A resposta é ${value}$.", "formula"),
    Sentence("Hindi", "उत्तर: ${value}$", "formula"),
    Sentence("Japanese, therefore", "したがって、答えは{value}である。", "plain"),
    Sentence("Chinese, so", "所以一共有{value}个苹果。", "plain"),
    Sentence("Korean, total", "따라서 모두 {value}개입니다.", "plain"),
    Sentence("each in dollars", "The solutions are {each}.", kinds="list"),
    Sentence("each named", "So $x={named}$.", kinds="list"),
    Sentence("each in a box", "The roots are {boxes}.", kinds="list"),
    Sentence("each in plain text", "So the roots are {words}.", kinds="list"),
)
"""Graded as the value is."""

TRAPS: tuple[Sentence, ...] = (
    Sentence("not", "The answer is not {value}.", "plain"),
    Sentence("not, formula", "The answer is not ${value}$.", "formula"),
    Sentence("cannot be", "So it cannot be {value}.", "plain"),
    Sentence("is not equal", "So the total is not equal to {value}.", "plain"),
    Sentence("less than", "So there are less than {value} of them.", "plain"),
    Sentence("at least", "The answer is at least {value}.", "plain"),
    Sentence("between", "The answer lies between {value} and 5000.", "plain"),
    Sentence("or", "The answer is {value} or {other}.", "plain"),
    Sentence("or, before", "So it is {other} or {value}.", "plain"),
    Sentence("or, formulas", "So we obtain ${other}$ or ${value}$.", "formula", kinds=VALUES),
    Sentence("either", "The answer is either {value} or {other}.", "plain"),
    Sentence("could be", "So the answer could be {other} or {value}.", "plain"),
    Sentence("and", "So the roots are {other} and {value}.", "plain"),
    Sentence("and, formulas", "The solutions are $x={other}$ and $x={value}$.", "formula", kinds=VALUES),
    Sentence("list of formulas", "The answer is ${other}$; ${value}$.", "formula", kinds=VALUES),
    Sentence("list of numbers", "The answer is {other}, {value}.", "plain", MATH),
    Sentence("two boxes with names", r"\(p=\boxed{{other}}\) and \(q=\boxed{{value}}\)", kinds=VALUES),
    Sentence("three boxes", r"\[x=\boxed{{other}},\quad y=\boxed{9090},\quad z=\boxed{{value}}.\]", kinds=VALUES),
    Sentence("denominator in text", "So the probability is 1/{value}.", "plain", kinds="count", apart="1 -1"),
    Sentence("denominator after phrase", "The final answer is 3/{value} litres.", "plain", kinds="count", apart="3 -3"),
    Sentence("denominator in a formula", r"So the share is $\frac{7}{{value}}$.", "formula", kinds="count"),
    Sentence("numerator in text", "So he ate {value}/7 of the cake.", "plain", kinds="count", apart="0"),
    Sentence("mixed number in text", "So we need {value} 1/2 cups.", "plain", kinds="count"),
    Sentence("half sign in text", "So it takes {value}½ hours.", "plain", kinds="count"),
    Sentence("exponent in text", "so there are 2^{value} of them", "plain", kinds="count"),
    Sentence("exponent in a formula", "Hence there are $2^{{value}}$ of them.", "formula", kinds="count"),
    Sentence("scientific in text", "So the mass is 3.2 x 10^{value}", "plain", kinds="count"),
    Sentence("ratio in text", "The ratio is 17:{value}", "plain", kinds="count"),
    Sentence("root in text", "so the length is 3 sqrt({value})", "plain", kinds="count", apart="0 9"),
    Sentence("root sign in text", "so the length is 3√{value}", "plain", kinds="count", apart="0 9"),
    Sentence("pi sign in text", "so the area is {value}π", "plain", kinds="unsigned", apart="0"),
    Sentence("pi word in text", "so the area is {value} pi", "plain", kinds="unsigned", apart="0"),
    Sentence("variable in text", "so we get y = {value}x", "plain", kinds="unsigned", apart="0"),
    Sentence("variable in a formula", "so we get $y = {value}x$", "formula", kinds=VALUES, apart="0"),
    Sentence("sum in a formula", "so in all $n + {value}$", "formula", kinds=VALUES),
    Sentence("thousand", "So he has {value} thousand dollars.", "plain", kinds="unsigned", apart="0"),
    Sentence("k", "So there are {value}k of them.", "plain", kinds="unsigned", apart="0"),
    Sentence("factorial in a formula", "Hence there are ${value}!$ orders.", "formula", kinds="count", apart="0 1 2"),
    Sentence("range", "So there are {value}-5000 of them.", "plain", kinds="count"),
    Sentence("decimals behind", "So it takes {value}.25 hours.", "plain", kinds="count"),
    Sentence("decimals before", "So it takes 3.{value} hours.", "plain", kinds="count"),
    Sentence("longer number", "So he has 98{value} of them.", "plain", kinds="count"),
    Sentence("two quantities", "So it takes {value} hours and 20 minutes.", "plain", kinds="count", apart="20"),
    Sentence("open thought", "<think>\\boxed{{value}}"),
    Sentence("in the thought only", "<think>\\boxed{{value}}</think>I do not know."),
    Sentence("minus before", "So the change is -{value}.", "plain", kinds="count", apart="0"),
    Sentence("minus word before", "So the change is minus {value} degrees.", "plain", kinds="count", apart="0"),
    Sentence("plus-minus", "So the answer is $\\pm {value}$.", "formula", kinds="count", apart="0"),
    Sentence("decimals of zero", "So the share is 0.{value}", "plain", kinds="count", apart="0"),
    Sentence("e notation", "So the mass is {value}e3.", "plain", kinds="count", apart="0"),
    Sentence("million", "So the country has {value} million people.", "plain", kinds="unsigned", apart="0"),
    Sentence("hundred", "So there are {value} hundred of them.", "plain", kinds="unsigned", apart="0"),
    Sentence("dozen", "So there are {value} dozen eggs.", "plain", kinds="unsigned", apart="0"),
    Sentence("squared", "So the area is {value}^2.", "plain", kinds="count", apart="0 1"),
    Sentence("squared sign", "So the area is {value}².", "plain", kinds="count", apart="0 1"),
    Sentence("squared word", "So the area is {value} squared.", "plain", kinds="count", apart="0 1"),
    Sentence("squared formula", "So the area is ${value}^2$.", "formula", kinds="count", apart="0 1"),
    Sentence("logarithm", "So the time is log({value}).", "plain", kinds="count"),
    Sentence("logarithm formula", "So the time is $\\ln {value}$.", "formula", kinds="count", apart="0"),
    Sentence("index", "The answer is $x_{{value}}$.", "formula", kinds="count"),
    Sentence("argument", "So the answer is $f({value})$.", "formula", kinds="count"),
    Sentence("bound formula", "Hence $n > {value}$.", "formula", kinds="count"),
    Sentence("at least formula", "The answer is $n \\ge {value}$.", "formula", kinds="count"),
    Sentence("not equal formula", "Hence $x \\ne {value}$.", "formula", kinds="count"),
    Sentence("modulus", "So $x \\equiv 9090 \\pmod{{value}}$.", "formula", kinds="count"),
    Sentence("base", "The answer is $101_{{value}}$.", "formula", kinds="count", apart="0 1"),
    Sentence("and a half", "So it takes {value} and a half hours.", "plain", kinds="count"),
    Sentence("twice", "The answer is twice {value}.", "plain", kinds="count", apart="0"),
    Sentence("half of", "The answer is half of {value}.", "plain", kinds="count", apart="0"),
    Sentence("root of, words", "The answer is the square root of {value}.", "plain", kinds="count", apart="0 1"),
    Sentence("three times", "So the answer is three times {value}.", "plain", kinds="count", apart="0"),
    Sentence("feet and inches", "So he is {value} feet 6 inches tall.", "plain", kinds="count"),
    Sentence("point", "So the point is $({value}, 9090)$.", "formula", kinds="count"),
    Sentence("interval", "So the answer is $[{value}, 9090]$.", "formula", kinds="count"),
    Sentence("at most", "So there are at most {value} of them.", "plain", kinds="count"),
    Sentence("or more", "So there are {value} or more of them.", "plain", kinds="count"),
    Sentence("out of", "So {value} out of 5000 passed.", "plain", kinds="count"),
    Sentence("ratio before", "The ratio is {value}:17.", "plain", kinds="count"),
    Sentence("sum in text", "So the total is x + {value}.", "plain", kinds="count"),
    Sentence("difference in text", "So the total is {value} - x.", "plain", kinds="count"),
    Sentence("imaginary", "So the root is ${value}i$.", "formula", kinds="count", apart="0"),
    Sentence("coefficient", "So we get ${value}x^2$.", "formula", kinds="count", apart="0"),
    Sentence("neither", "The answer is neither {value} nor {other}.", "plain"),
    Sentence("would be if", "The answer would be {value} if there were no friction, but there is.", "plain"),
    Sentence("part of the list", "The solutions are {some}.", kinds="list"),
    Sentence("part of the list, boxed", "The solutions are \\boxed{{part}}.", kinds="list"),
    Sentence("list or", "So $x = {value}$ or $x = 9090$.", "formula", kinds=VALUES),
    Sentence("box beside a box", "\\boxed{{value}} and \\boxed{{other}}", kinds=VALUES),
    Sentence("box with or", "\\boxed{{value} \\text{ or } {other}}", kinds=VALUES),
    Sentence("taken back", "Answer: {value}\n\nWait, that is wrong.\n\nAnswer: {other}", "plain"),
)
"""Wrong although they hold the gold."""
