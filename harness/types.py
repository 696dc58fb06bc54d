"""The core records: frozen dataclasses over the standard library, shared by every part of the product.

Why one module: a record that crosses a boundary (suite to model, model to grader, grader to metric) has exactly
one definition, and reading this file is reading the architecture. Nothing here does I/O or imports anything heavy.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol, TypeAlias

Json: TypeAlias = "bool | int | float | str | Sequence[Json] | Mapping[str, Json] | None"
"""A value that survives a round trip through JSON."""

Role = Literal["system", "user", "assistant"]
Finish = Literal["stop", "length", "error"]
Status = Literal["scored", "no_answer", "refused", "truncated", "unscored", "error"]
STATUSES: tuple[Status, ...] = ("scored", "no_answer", "refused", "truncated", "unscored", "error")


@dataclass(frozen=True, slots=True)
class Message:
    """One chat turn."""

    role: Role
    content: str


@dataclass(frozen=True, slots=True)
class Problem:
    """One question of a suite, rendered and ready to send."""

    id: str
    """Stable across versions of this code: the data set's own id, else a content hash."""
    messages: tuple[Message, ...]
    """What is sent to the model, after rendering."""
    target: str
    """The gold answer in the grader's own form: an integer, LaTeX, an option letter, a JSON object, a string."""
    grader: str
    """Catalog name of the grader for this problem (a suite may mix answer types)."""
    choices: tuple[str, ...] = ()
    """Option texts in the order shown (A, B, …); empty if the question is open."""
    reference: str | None = None
    """A reference chain of thought, where the data has one."""
    cluster: str = ""
    """Problems that share a passage or template share a cluster; empty means the problem is its own cluster."""
    temperature: float | None = None
    """The benchmark's own temperature for this problem (MT-Bench sets it by category); None is the run's."""
    meta: Mapping[str, Json] = field(default_factory=dict)
    """Facts about the problem: subset, level, `order` (the permutation of the options shown). Not stored with a run."""


@dataclass(frozen=True, slots=True)
class Sampling:
    """How completions are drawn."""

    n: int = 1
    """Samples per problem."""
    temperature: float = 0.0
    """0 is greedy."""
    top_p: float = 1.0
    max_tokens: int = 2048
    """New tokens per completion, reasoning included."""
    stop: tuple[str, ...] = ()
    seed: int = 0
    """Root seed of the run; every request derives its own from it, the problem id and the attempt."""


@dataclass(frozen=True, slots=True)
class Request:
    """One completion to make."""

    id: str
    """The caller's own name for it: a model answers no two of one id at once."""
    messages: tuple[Message, ...]
    """What is asked; the last turn is the user's, or the beginning of a reply for a model that `continues` it."""
    temperature: float
    top_p: float
    max_tokens: int
    """Also how long it may take: of the requests that wait, the longest goes first."""
    stop: tuple[str, ...]
    seed: int
    """0 <= seed < 2**31; a run's is derived with `harness.run.spec.request_seed`."""
    schema: Mapping[str, Json] | None = None
    """JSON schema that the reply should follow, for engines that can constrain; the others leave it to the reader."""
    top_logprobs: int = 0
    """How many alternatives of the first generated token to report in `Completion.alternatives`."""
    attempt: int = 0
    """0-based index of the sample, where several are drawn."""
    problem: Problem | None = None
    """What is asked about, where there is one: only the mock models read it, whose job is to know the gold."""


@dataclass(frozen=True, slots=True)
class Completion:
    """What a model answered to one request."""

    text: str
    """Everything the model generated, think block included, exactly as received."""
    finish: Finish
    reasoning: str | None = None
    """The think block: from the server's own field, or split off by `harness.reasoning.split_reasoning`."""
    answer_text: str | None = None
    """What is graded: the text after the think block. None when the think block was never closed."""
    opened_think: bool = False
    """True if the prompt itself ended inside a think block, so that `text` starts in it."""
    markup: str = ""
    """Reasoning markup that the user named for this model, beside the table's (`harness.markup.parse_markup`)."""
    tokens_in: int | None = None
    tokens_out: int | None = None
    seconds: float | None = None
    """Wall time of this request; for a batch engine the wall time of its batch."""
    logprob: float | None = None
    """Sum of the chosen tokens' log-probabilities (nats), where the engine gives it."""
    error: str | None = None
    """Why there is no usable text (finish == "error"): redacted, one line."""
    alternatives: Mapping[str, float] | None = None
    """Token text -> log-probability (nats) of the likeliest first tokens, where asked for (`Request.top_logprobs`)."""
    composed: Composed | None = None
    """How a system of models came to this answer; None for a model that answers by itself."""


@dataclass(frozen=True, slots=True)
class Composed:
    """How a system of models (`harness.systems`) came to its answer: (role, reply) of each request, and facts."""

    replies: tuple[tuple[str, Completion], ...]
    facts: Mapping[str, Json] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Usage:
    """What one of a system's models took for one answer of the system; None where the engine does not say."""

    calls: int
    tokens_in: int | None
    tokens_out: int | None


@dataclass(frozen=True, slots=True)
class TokenScores:
    """How likely a model finds the tokens (`ids`, its own) of a continuation after a prompt, rendered as for an answer.

    `read`: tokens read for it. `starts`: the first character of each token in a text; None where an engine cannot tell.
    """

    ids: tuple[int, ...]
    logprobs: tuple[float, ...]
    """Log-probability (nats) of each token, given the prompt and the tokens before it."""
    top: tuple[Mapping[int, float], ...] | None = None
    """At each position the likeliest tokens, id -> log-probability (nats), likeliest first; None if not asked for."""
    read: int | None = field(default=None, compare=False)
    starts: tuple[int, ...] | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Score:
    """The verdict on one completion. A `value` of None is missing, never wrong: it enters no mean and is counted."""

    value: float | None
    """1.0 right, 0.0 wrong; "no_answer", "refused" and "truncated" are 0.0; None otherwise, and for a judge's."""
    status: Status
    answer: str | None = None
    """The answer that was graded, in the grader's canonical form: equal strings are the same vote in maj@k."""
    why: str = ""
    """One line for a person: how the verdict came about."""


@dataclass(frozen=True, slots=True)
class Record:
    """One generated completion on disk; (problem_id, attempt) is its key."""

    problem_id: str
    attempt: int
    seed: int
    prompt_hash: str
    """sha256 of the messages, first 16 hex digits: tells a stale record from one of this prompt."""
    completion: Completion


@dataclass(frozen=True, slots=True)
class Graded:
    """One attempt as metrics and comparisons see it: no text, so that millions fit in memory."""

    problem_id: str
    attempt: int
    score: Score
    cluster: str = ""
    """As `Problem.cluster`."""
    tokens_in: int | None = None
    tokens_out: int | None = None
    formats: Mapping[str, bool] = field(default_factory=dict)
    """Checks of this completion by name: the suite's ("think", "json"), a grader's own ("labels", "em:coherence")."""
    usage: Mapping[str, Usage] = field(default_factory=dict)
    """Of a system's answer: what each of its models took, by role ("teacher", "model.model"); of a gate's its facts."""
    facts: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number with its uncertainty and its denominators."""

    value: float
    low: float
    """Lower end of the 95 % interval."""
    high: float
    se: float
    """Standard error, clustered by problem (or by `cluster` where set)."""
    n_problems: int
    n_samples: int
    """Samples that entered the value."""
    counts: Mapping[str, int] = field(default_factory=dict)
    """How many samples have each status; all of `STATUSES` are present."""
    bounds: tuple[float, float] | None = None
    """What the value could have been had the missing scores all been 0, or all 1; None if nothing is missing."""


@dataclass(frozen=True)
class Metric:
    """A number about a run's graded attempts: how it is computed, what it counts, and which way is better."""

    name: str
    """As in the catalog: "avg@n", "pass@k"; of a metric with a part the whole name, "em:coherence"."""
    function: Callable[[Sequence[Graded], int | None], Estimate]
    """(graded attempts of one run, k) -> estimate. `k` is None for a metric that takes none."""
    unit: str = "share"
    """"share" (0 to 1, shown in percent), "pp" (a difference of shares), or what stands behind a value: "tok"."""
    lower_is_better: bool = False

    @property
    def is_share(self) -> bool:
        """True for a share, and a difference of shares."""
        return self.unit in ("share", "pp")

    @property
    def own_unit(self) -> str:
        """What stands behind a value that is no share; empty for a share."""
        return "" if self.is_share else self.unit

    def shown(self, value: float) -> tuple[float, str]:
        """(factor, unit) with which a value is printed; a "share" beyond 0 to 1 is some other tool's own scale."""
        if self.unit == "pp" or (self.unit == "share" and 0.0 <= value <= 1.0):
            return 100.0, "%"
        return 1.0, self.own_unit


@dataclass(frozen=True, slots=True)
class ReferenceScore:
    """A published number to hold ours against."""

    model: str
    metric: str
    value: float
    """In percent, as published."""
    source: str


@dataclass(frozen=True, slots=True)
class HubRef:
    """Where a data set lives on the hub."""

    repo: str
    config: str | None
    split: str
    revision: str
    """A commit of the data set's repository; a branch only where another library's task names no commit."""
    file: str = ""
    """One file of the repository (a JSON list of objects, or JSON lines), where its layout is no standard one."""


@dataclass(frozen=True)
class DataRef:
    """Where rows come from, and the pin that both sources must meet."""

    files: tuple[str, ...]
    """File names in a data directory (`--data-dir`, HARNESS_DATA_DIR); several are concatenated."""
    rows: int
    """Number of rows after normalisation; any other count is an error. 0 where nobody published a pin."""
    sha256: str
    """Content hash over the normalised rows (`harness.datasets.content_hash`).

    Empty where nobody published a pin: then it is taken when the data is loaded (`harness.datasets.pinned`) and stored.
    """
    from_local: Callable[[Mapping[str, Json]], Mapping[str, Json] | None] = dict
    """A raw row of the file -> the normalised row; None leaves the row out."""
    hub: tuple[HubRef, ...] = ()
    """Hub sources, concatenated; empty if the set is not on the hub."""
    from_hub: Callable[[Mapping[str, Json]], Mapping[str, Json] | None] | None = None
    """A raw row of the hub's table -> the same normalised row, or None."""
    password: str | None = None
    """Published password of a zip that must never be unpacked to disk (GPQA)."""
    generate: Callable[[], Sequence[Mapping[str, Json]]] | None = None
    """For data that our own code generates from a seed: no file and no hub."""
    combine: Callable[[Sequence[Mapping[str, Json]]], Sequence[Mapping[str, Json]]] | None = None
    """All normalised rows -> the rows that count, for data that must be joined from several files."""


@dataclass(frozen=True)
class Suite:
    """A benchmark: data, rendering, grading and defaults. Declared once, frozen, in `harness/suites/`."""

    name: str
    version: str
    """Raised whenever a prompt, grader or data pin changes: scores of two versions are never mixed."""
    summary: str
    data: DataRef
    render: Callable[[Mapping[str, Json], int], Problem]
    """(normalised row, seed) -> problem; the seed decides only the order of choices."""
    grader: str
    """Default grader (catalog name)."""
    sampling: Sampling
    metrics: tuple[str, ...]
    """Metric names, the headline one first: ("avg@n", "pass@8", "format:boxed")."""
    licence: str
    paper: str
    formats: tuple[str, ...] = ()
    """Format checks to record per completion: "think", "boxed", "json"."""
    reply_schema: tuple[tuple[str, Literal["string", "array", "array?", "number", "object"]], ...] = ()
    """Keys of a JSON reply and their types, for the "json" format check; all are required but those with a "?"."""
    reference_scores: tuple[ReferenceScore, ...] = ()
    judging: str = ""
    """Catalog name of the judging protocol that scores the answers of this suite; empty if its grader does."""
    baseline: DataRef | None = None
    """The opponent's answers, normalised rows {"id", "output"}, for a suite judged pairwise."""
    follow_up: Callable[[Problem, Completion], Problem | None] | None = None
    """(problem, the model's first answer) -> the next turn's problem, with an id of its own; None if there is none."""


class Grader(Protocol):
    """One per answer type, shared by evaluation and (later) rewards. Instances are frozen module attributes."""

    name: str

    def version(self) -> str:
        """Own version plus that of the library that decides, e.g. "math/1+math-verify-0.9.0"."""

    def extract(self, problem: Problem, answer_text: str) -> Extracted | None:
        """Find the final answer; linear time, runs in the main process. None: there is no answer."""

    def grade(self, target: str, answer: str) -> Score:
        """Compare; runs in a killable worker process, may be slow or crash on hostile input."""

    def gold_text(self, problem: Problem) -> str:
        """A reply that must score 1: the target as a well-behaved model would write it."""

    def wrong_text(self, problem: Problem) -> str:
        """A reply that must score 0: a near miss of the target, in the same format."""


@dataclass(frozen=True, slots=True)
class Extracted:
    """An answer found in a reply."""

    answer: str
    explicit: bool
    """True if marked as the answer (boxed, "answer is", ####); False if it is the last candidate in the text."""
    readings: tuple[str, ...] = ()
    """What the reply declares, uncut: the whole statement that `answer` was taken from. One that is the target as
    written is right; none is ever graded otherwise."""


class Model(Protocol):
    """Whoever can answer messages."""

    name: str
    """As the user wrote it: "openai:gpt-x", "hf:./checkpoint"."""

    @property
    def continues(self) -> bool:
        """True if it can go on in the middle of a reply: messages may end with the assistant's turn, begun."""

    def describe(self) -> Mapping[str, Json]:
        """What identifies the answers (engine, revision, dtype, fingerprint of local weights); no secrets.

        It is part of the run's identity: two models that may answer differently describe themselves differently.
        """

    def environment(self) -> Mapping[str, Json]:
        """What is worth recording but is no part of the identity: library versions, device, endpoint host."""

    async def answer(self, request: Request) -> Completion:
        """Answer one request; many callers await at once, and the engine batches or limits them behind this door.

        A request that failed for good comes back with finish="error"; only errors that doom every request raise. A
        caller that is cancelled frees its place at once; one whose request had not begun raises `NotBegun`
        (`harness.models.base`). A second request of an id that is open is refused with `ModelError`.
        """

    async def score(self, prompt: Sequence[Message], continuation: str | Sequence[int], top: int = 0) -> TokenScores:
        """How likely a continuation of the rendered prompt is, token by token; nothing is drawn.

        Ids are used as they are. A text is tokenised on its own and appended, without the tokens that begin a text, as
        a response is for training. `top`: how many of the likeliest tokens of each position to tell, the whole
        vocabulary at most. Raises `DataError` for a continuation that is empty, does not fit the context, or has
        tokens that the model does not have; `ModelError` from an engine that has no log-probabilities of a given text.
        """

    async def close(self) -> None:
        """Release sockets, processes and memory."""
