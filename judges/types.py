"""Records of judging: what is asked of a judge, what it said, and what an answer is worth in the end.

One value scale everywhere: a `Verdict.value` is between 0 and 1 and higher is better for the candidate: points over
the most points possible, a rating over its maximum, or the preference for the candidate over its opponent (0.5 is a
tie). A judgment that failed has no verdict and enters no mean.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol, runtime_checkable

from harness.types import Completion, Estimate, Json, Message, Status

if TYPE_CHECKING:
    from harness.stats.agreement import Level  # it imports numpy

Order = Literal["single", "candidate_first", "opponent_first"]
"""Which answer the judge reads first; "single" when there is only one."""
RubricKind = Literal["points", "rating", "pairwise", "label"]
Part = Literal["answer", "reasoning", "all"]
"""What of a completion is judged: the text after the think block, the think block (the whole text where there is
none), or everything generated."""
WhichPrompt = Literal["auto", "own", "official"]
""""official": the benchmark's own prompt text, read from where it is installed; "auto" takes it where it is found,
unless a rubric is named; "own" is our rubric."""
Orders = Literal["both", "random"]
"""In which orders two answers are shown."""
Aggregate = Literal["mean", "median", "majority"]
"""How a panel of judges decides."""
LEVELS = 5


class Malformed(Exception):
    """A judge's reply that cannot be read; the message says why, in words that the judge can act on."""


@dataclass(frozen=True, slots=True)
class Dimension:
    """One criterion of a rubric of kind "points"."""

    key: str
    """Name in the reply: `reasoning_correctness`."""
    name: str
    """Name for people: "Reasoning Correctness"."""
    question: str
    """What the judge is to decide."""
    weight: float
    """Points of the best level; level L of 5 is worth L/5 of it."""
    levels: tuple[str, ...]
    """Five descriptions, worst to best."""
    labels: tuple[str, ...] = ()
    """Closed set of labels that this dimension also asks for (`calculation_label`); empty for none."""


@dataclass(frozen=True, slots=True)
class RubricChoice:
    """One verdict that a rubric of kind "pairwise" or "label" allows."""

    label: str
    """As the judge writes it: "A>>B", "yes"."""
    value: float
    """Worth in [0, 1]; for pairwise rubrics of the answer shown FIRST."""
    weight: float = 1.0
    """How many votes the verdict counts for (Arena-Hard's >> counts 3)."""
    meaning: str = ""
    """What the judge is told that the label means."""


@dataclass(frozen=True, slots=True)
class Rubric:
    """A judge prompt as data: `rubrics/<name>.toml`."""

    name: str
    version: str
    kind: RubricKind
    summary: str
    source: str
    """Paper or protocol that the criteria come from; the wording is ours."""
    template: str
    """The user message, with fields in braces: {question}, {answer}, {answer_a}, {answer_b}, {reference},
    {dimensions}, {reply_format}."""
    system: str = ""
    """The system message; may hold the same fields but no candidate text."""
    reference_template: str = ""
    """Used instead of `template` where the task has a reference."""
    part: Part = "answer"
    dimensions: tuple[Dimension, ...] = ()
    """Kind "points" only; weights sum to 100."""
    low: int = 1
    high: int = 10
    """Kind "rating" only: the smallest and largest rating, both inclusive."""
    choices: tuple[RubricChoice, ...] = ()
    """Kinds "pairwise" and "label" only."""
    reply: Literal["json", "token", "line"] = "json"
    """"token": the reply is one label and nothing else, so that its log-probability can be read; "line": a text of the
    judge's own that ends in a line `VERDICT: <label>`, as judges are trained to write."""
    max_tokens: int = 2048
    content_hash: str = ""
    """First 12 hex digits of the sha256 over everything above but the name, and over the prompts and reply schema that
    are made from it: two texts, two hashes."""

    @property
    def id(self) -> str:
        """`name@version#hash`, stored with every verdict."""
        return f"{self.name}@{self.version}#{self.content_hash}"


@dataclass(frozen=True, slots=True)
class Task:
    """One answer to judge, and what it is held against."""

    problem_id: str
    attempt: int
    turns: tuple[str, ...]
    """What the user said, turn by turn; one entry for a single-turn question."""
    answers: tuple[str, ...]
    """What the candidate answered to each turn; the last one is judged, the earlier ones are context."""
    opponent: tuple[str, ...] | None = None
    """The other model's answers to the same turns, for pairwise judgments."""
    reference: str | None = None
    """A right answer (or reference chain) to show the judge, where the data has one."""
    cluster: str = ""
    """As `Problem.cluster`."""
    meta: Mapping[str, Json] = field(default_factory=dict)
    """Facts that a protocol needs: `category`, `turn`, `index` (row position), `dataset`, `model`, `opponent_model`."""

    @property
    def key(self) -> tuple[str, int]:
        """Which attempt at which problem."""
        return self.problem_id, self.attempt


@dataclass(frozen=True, slots=True)
class Mark:
    """One dimension of a verdict of kind "points"."""

    dimension: str
    """`Dimension.key`."""
    level: int
    """1 (worst) to 5."""
    points: float
    """weight * level / 5, computed by us, never taken from the judge."""
    reason: str = ""
    label: str | None = None
    evidence: tuple[str, ...] = ()
    """Quotes that the judge gave, as it wrote them."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one readable reply says."""

    value: float
    """In [0, 1], for the candidate (see the module)."""
    label: str
    """The decision in the rubric's own terms, as the judge gave it: "A>>B", "7", "84.0" (points), "yes"."""
    weight: float = 1.0
    reason: str = ""
    marks: tuple[Mark, ...] = ()
    soft: bool = False
    """True if `value` is weighted by log-probabilities."""
    notes: tuple[str, ...] = ()
    """What was odd but harmless, by name: "prose_around_json", "wrong_total", "invented_quote", "no_logprobs"."""


@dataclass(frozen=True, slots=True)
class Ask:
    """One question to the judge."""

    messages: tuple[Message, ...]
    parse: Callable[[Completion], Verdict]
    """Reads the reply (its `answer_text`, think block aside); raises `Malformed`. Pure and quick."""
    order: Order = "single"
    repeat: int = 0
    """0-based; another repeat is another sample of the same question."""
    schema: Mapping[str, Json] | None = None
    """JSON schema that the reply must follow; engines that cannot constrain leave it to the parser."""
    temperature: float = 0.0
    max_tokens: int = 2048
    top_logprobs: int = 0
    """Ask for that many alternatives of the first token."""


@dataclass(frozen=True, slots=True)
class Judgment:
    """One ask about one task by one judge, as stored in verdicts.jsonl."""

    problem_id: str
    attempt: int
    judge: str
    """The judge model's name."""
    rubric: str
    """`Rubric.id`, or what a protocol calls its prompt."""
    order: Order
    repeat: int
    verdict: Verdict | None
    """None: unscored, and `why` says why."""
    raw: str
    """The last reply, exactly as received."""
    why: str = ""
    tries: int = 1
    """1, or 2 if the first reply was malformed."""
    tokens_in: int | None = None
    tokens_out: int | None = None
    """Summed over tries; of cached replies too (what the judgment takes, not what was paid today)."""
    cached: bool = False
    """True if no request was made."""


@dataclass(frozen=True, slots=True)
class Judged:
    """What one answer is worth by one judge (or a panel): all of its judgments folded."""

    problem_id: str
    attempt: int
    value: float | None
    """In [0, 1]; None if any needed judgment is missing."""
    status: Status
    """"scored", "unscored" (the judge's reply could not be read) or "error" (it gave none)."""
    why: str = ""
    weight: float = 1.0
    """Total votes behind the value (Arena-Hard); 1 elsewhere."""
    parts: Mapping[str, float] = field(default_factory=dict)
    """Per dimension (mean level / 5), or what else the protocol reports per answer."""
    cluster: str = ""
    flipped: bool | None = None
    """Whether the preferred answer changed with the order; None where both orders are not there."""


@dataclass(frozen=True)
class Summary:
    """The numbers of a whole judged run."""

    headline: str
    """Key in `estimates` that a leaderboard sorts by."""
    estimates: Mapping[str, Estimate]
    items: Mapping[str, float]
    """Problem id -> the headline's value on that problem, for paired tests: their mean is the headline and their
    spread gives its standard error (influence-function pseudo-values where the headline is not a plain mean)."""
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class JudgingOptions:
    """What a user may say about how to judge; a protocol refuses (`ConfigError`) what it does not support."""

    rubric: str | None = None
    """Rubric in place of the protocol's own default (catalog name or path)."""
    weighting: str | None = None
    """One of the rubric's named weightings."""
    prompt: WhichPrompt = "auto"
    repeats: int = 1
    """How often each question is put to the judge."""
    temperature: float | None = None
    """None is the protocol's own (0 for rubrics)."""
    orders: Orders | None = None
    """None is the protocol's own ("both" for rubrics)."""
    data_dir: Path | None = None
    """As `--data-dir`: where the benchmark's own files are."""


@runtime_checkable
class Judging(Protocol):
    """A way to judge answers: a rubric, or the protocol of a benchmark. Instances are frozen.

    A class that inherits from it has the usual answer to whatever it does not say itself.
    """

    @property
    @abstractmethod
    def name(self) -> str:
        """What the judging is called in files and tables."""

    @abstractmethod
    def identity(self) -> Mapping[str, Json]:
        """Everything that can change a verdict but the judge model: rubric ids, orders, repeats, sampling."""

    def needs_opponent(self) -> bool:
        """True if every task must have an opponent."""
        return False

    @property
    def part(self) -> Part:
        """What of a completion is judged."""
        return "answer"

    @property
    def level(self) -> Level:
        """What a difference between two values means, for the agreement of a panel: "interval" where points add up,
        "ordinal" where they are only ordered, "nominal" where they are names.
        """
        return "interval"

    @property
    def decides(self) -> bool:
        """True if a value above 0.5 is a decision for the answer, not just more than half of the points."""
        return self.needs_opponent()

    @abstractmethod
    def asks(self, task: Task) -> Sequence[Ask]:
        """What to ask about one answer. Raises `DataError` if the task lacks what the protocol needs."""

    @abstractmethod
    def rubric_id(self, task: Task) -> str:
        """`Rubric.id` (or prompt name) used for this task."""

    @abstractmethod
    def fold(self, task: Task, judgments: Sequence[Judgment]) -> Judged:
        """One judge's judgments of one task -> its worth. `judgments` are in the order of `asks`."""

    @abstractmethod
    def summarise(self, tasks: Sequence[Task], judged: Sequence[Judged]) -> Summary:
        """All answers of a run (same order) -> its numbers. Raises `DataError` if nothing is scored."""
