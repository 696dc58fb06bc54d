"""Diversity of stored runs: which measures, every one on every run, and the differences to the first one.

Scores are kept in `diversity.json` of the run's folder, each with a hash over the texts and settings it came from: the
same question again is answered from there.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from harness import catalog
from harness.distribution import install_command
from harness.errors import DataError, UnknownName, UsageError
from harness.files import read_json, write_atomically
from harness.hashing import canonical_json, short_hash
from harness.metrics import estimate, parse_metric
from harness.metrics.diversity import Corpus, Form, Group, Measure, Scores, Tools, across, curve, jackknife, within
from harness.run.responses import Responses
from harness.stats.distributions import t_two_sided
from harness.stats.paired import paired_differences
from harness.stats.seeds import Seeded
from harness.stats.standard_errors import mean_interval
from harness.types import Estimate, Graded, Json

if TYPE_CHECKING:
    from backends.structure.cutting import StepTexts

FILE = "diversity.json"
_STEPS = "steps.sqlite"
"""The replies of a model that cut a run's responses into steps."""
_SCHEMA = 1
_OPEN = {"low": -math.inf, "high": math.inf, "se": math.nan}  # what JSON has no number for
Report = Callable[[str], None]


@dataclass(frozen=True)
class MeasuredRun:
    """One measure in one form on one run."""

    run: Responses
    scores: Scores
    higher_is_more_diverse: bool
    versus: Seeded | None = None
    """Against the first run; None for the first run itself."""


@contextmanager
def cutting(
    spec: str | None, runs: Sequence[Responses], results_dir: Path, data_dir: Path | None
) -> Iterator[StepTexts | None]:
    """What cuts responses into steps; a model's replies are kept in the first run's folder."""
    if spec is None:
        yield None
        return
    from backends.rewards.scorers import open_scorers
    from backends.structure.cutting import RULE, StepTexts
    from harness.config import RunConfig
    from harness.run.replan import stored_job

    if spec == RULE:
        yield StepTexts(spec, {}, lambda spec, requests: [])
        return
    questions: dict[str, str] = {}
    config = RunConfig(results_dir=str(results_dir), data_dir=None if data_dir is None else str(data_dir))
    for run in runs:
        asked = {problem.id: problem.messages[-1].content for problem in stored_job(run.folder, config).problems}
        questions |= {text: asked[problem] for problem, texts in run.texts.items() for text in texts}
    with open_scorers(runs[0].folder.path / _STEPS, results_dir, models=[spec]) as scorers:
        yield StepTexts(spec, questions, scorers.ask)


def measure_runs(
    runs: Sequence[Responses], names: Sequence[str], forms: Sequence[Form], tools: Tools, report: Report
) -> tuple[MeasuredRun, ...]:
    """Every measure in every form on every run; the first run is what differences are against.

    `names` are of the catalog's kinds "diversity" and "metric". Raises `UsageError` if a measure within a prompt has
    only one response per prompt, `DataError` if a measure is undefined everywhere.
    """
    lines: list[MeasuredRun] = []
    texts = [name for name in names if name in catalog.entries("diversity")]
    if texts and "within" in forms and max(len(found) for found in runs[0].texts.values()) < 2:
        raise UsageError(  # before anything is embedded
            f"{texts[0]} within a prompt needs at least 2 usable responses to a prompt, and {runs[0].folder.name} "
            "has one each: run it with --n 4 (or another number), or ask for --form across"
        )
    for name in names:
        if name in texts:
            measure = cast(Measure, catalog.load("diversity", name))
            found = [_scores(run, measure, forms, tools, report) for run in runs]
            lines += _lines(runs, found, measure.higher_is_more_diverse)
        else:
            lines += _lines(runs, [[graded_scores(run, name)] for run in runs], True)
    return tuple(lines)


def _lines(runs: Sequence[Responses], found: Sequence[Sequence[Scores]], higher: bool) -> list[MeasuredRun]:
    clusters = runs[0].corpus().clusters
    return [
        MeasuredRun(run, scores[i], higher, None if run is runs[0] else difference(scores[i], found[0][i], clusters))
        for i in range(len(found[0]))
        for run, scores in zip(runs, found, strict=True)
    ]


def graded_scores(run: Responses, name: str) -> Scores:
    """A metric of graded answers with its value on each problem. Raises `UsageError` if the run has no grades."""
    if not run.graded:
        raise UsageError(f"{name} needs graded answers, and {run.folder.name} has none: grade it with `harness score`")
    by_problem: dict[str, list[Graded]] = {}
    for row in run.graded:
        by_problem.setdefault(row.problem_id, []).append(row)
    values: dict[str, float] = {}
    for problem, rows in by_problem.items():
        try:
            values[problem] = estimate(name, rows).value
        except DataError:  # too few scored samples of this problem: it is missing, as in the metric itself
            continue
    return Scores(name, "within", estimate(name, run.graded), problems=values)


def difference(scores: Scores, reference: Scores, clusters: Mapping[str, str]) -> Seeded | None:
    """`scores` minus `reference`, given the clusters of problems; None where nothing is common to both."""
    if scores.form == "across":
        if len(scores.blocks) != len(reference.blocks):
            return None
        gaps = np.array(scores.blocks) - np.array(reference.blocks)
        se, half = jackknife(gaps)
        value = scores.estimate.value - reference.estimate.value
        p = t_two_sided(value / se, len(gaps) - 1) if se > 0.0 else 1.0 if value == 0.0 else math.nan
        return Seeded(value, value - half, value + half, se, len(gaps), 1, p=p)
    common = sorted(scores.problems.keys() & reference.problems.keys())
    if not common:
        return None
    gaps = np.array([scores.problems[problem] - reference.problems[problem] for problem in common])
    grouped = [clusters.get(problem, "") for problem in common]
    # Student's interval: the one of `paired` is made for right-or-wrong scores, whose differences can be as large as 1.
    mean = mean_interval(gaps, grouped, share=False)
    p = paired_differences(gaps, grouped, mcnemar=False).p
    return Seeded(mean.value, mean.low, mean.high, mean.se, mean.n_problems, 1, p=p)


# --- scores that are stored with the run -----------------------------------------------------------------------------


def _scores(run: Responses, measure: Measure, forms: Sequence[Form], tools: Tools, report: Report) -> list[Scores]:
    corpus = run.corpus()
    prints = {form: _fingerprint(corpus, measure, form, tools) for form in forms}
    known = _stored(run.folder.path)
    found = {form: _from_json(known.get(f"{measure.name}/{form}"), prints[form]) for form in forms}
    if any(scores is None for scores in found.values()):
        report(f"{run.model}: {measure.name}")
        group: Group = measure(corpus.texts, tools)
        for form in forms:
            scores = within(measure, corpus, group) if form == "within" else across(measure, corpus, group)
            if form == "within" and measure.curve is not None:
                scores = replace(scores, curve=curve(measure, corpus, tools))
            found[form] = scores
            known[f"{measure.name}/{form}"] = {
                "of": prints[form],
                "settings": _settings(measure, tools),
                **_to_json(scores),
            }
        text = json.dumps({"schema": _SCHEMA, "scores": known}, ensure_ascii=False, allow_nan=False)
        write_atomically(run.folder.path / FILE, text + "\n")
    return [scores for scores in found.values() if scores is not None]


def _settings(measure: Measure, tools: Tools) -> dict[str, Json]:
    """What besides the texts decides a measure's value."""
    settings: dict[str, Json] = {"version": measure.version}
    if measure.needs == "sacrebleu":
        settings["bleu_tokenizer"] = tools.bleu_tokenizer
    if measure.needs == "vocabulary":
        settings["vocabulary"] = tools.vocabulary
    if measure.needs == "embedder" and tools.embed is not None:
        settings |= tools.embed.identity()
    if measure.curve is not None and tools.cut is not None:
        settings |= tools.cut.identity()
    if measure.needs == "nli" and tools.entail is not None:
        settings |= {"pairs": tools.nli_pairs, **tools.entail.identity()}
    return settings


def _fingerprint(corpus: Corpus, measure: Measure, form: Form, tools: Tools) -> str:
    everything = [
        measure.name,
        form,
        _settings(measure, tools),
        list(corpus.texts),
        list(corpus.sizes.items()),
        dict(corpus.clusters),
    ]
    return short_hash(canonical_json(everything))


def _stored(directory: Path) -> dict[str, Any]:
    """What `diversity.json` holds; empty if it is absent, damaged or of another schema, since it can be made again."""
    try:
        stored = read_json(directory / FILE)
        return dict(stored["scores"]) if stored["schema"] == _SCHEMA else {}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _to_json(scores: Scores) -> dict[str, Json]:
    return {
        "measure": scores.measure,
        "form": scores.form,
        "estimate": _estimate_to_json(scores.estimate),
        "problems": dict(scores.problems),
        "blocks": [block if math.isfinite(block) else None for block in scores.blocks],
        "curve": [_estimate_to_json(point) for point in scores.curve],
    }


def _estimate_to_json(found: Estimate) -> dict[str, Json]:
    return {
        name: None if isinstance(value, float) and not math.isfinite(value) else value
        for name, value in asdict(found).items()
    }


def _from_json(row: Any, fingerprint: str) -> Scores | None:
    """Stored scores that came from these very texts and settings, else None."""
    try:
        if row["of"] != fingerprint:
            return None
        return Scores(
            measure=row["measure"],
            form=row["form"],
            estimate=_estimate_from_json(row["estimate"]),
            problems={problem: float(value) for problem, value in row["problems"].items()},
            blocks=tuple(math.nan if block is None else float(block) for block in row["blocks"]),
            curve=tuple(_estimate_from_json(point) for point in row["curve"]),
        )
    except (KeyError, TypeError, ValueError, AttributeError):
        return None


def _estimate_from_json(row: dict[str, Any]) -> Estimate:
    known: dict[str, Any] = {name: _OPEN.get(name) if value is None else value for name, value in row.items()}
    return Estimate(**known)


_USUAL = ("distinct-1", "distinct-2", "ead", "self-bleu", "dispersion", "vendi")
_OF_ANSWERS = ("distinct_answers", "answer_entropy")
_MODULES = {"sacrebleu": ("sacrebleu",), "embedder": ("sentence_transformers",), "nli": ("transformers",)}


def choose_measures(asked: Sequence[str], runs: Sequence[Responses], nli: str | None) -> tuple[list[str], list[str]]:
    """The measures to compute, and notes on usual ones that cannot be; one that was asked for is never left out."""
    measures = catalog.entries("diversity")
    if asked:
        for name in asked:
            if name in measures:
                continue
            try:
                parse_metric(name)
            except UnknownName:
                raise UnknownName("measure", name, [*measures, *catalog.entries("metric")]) from None
        if "nli" in asked and nli is None:
            raise UsageError("nli needs a model: name a sequence-classification model with --nli hf:<folder or hub id>")
        return [*dict.fromkeys([*asked, *(["nli"] if nli is not None else [])])], []
    names, notes = [], []
    for name in [*_USUAL, *(["nli"] if nli is not None else [])]:
        needs = _measure(name).needs
        if all(find_spec(module) is not None for module in _MODULES.get(needs, ())):
            names.append(name)
        else:
            notes.append(f"{name} is left out: it needs the extra 'judge': {install_command('judge')}")
    if all(run.attempts > 1 and any(row.score.answer is not None for row in run.graded) for run in runs):
        names += _OF_ANSWERS
    return names, notes


def _measure(name: str) -> Measure:
    return cast(Measure, catalog.load("diversity", name))


def tools_for(
    names: Sequence[str],
    embedder: str,
    embed_tokens: int | None,
    nli: str | None,
    nli_labels: str | None,
    bleu_tokenizer: str,
    *,
    embedded: Callable[[int, int], None],
    read: Callable[[int], None],
) -> Tools:
    """What the measures need and nothing else: no model is looked for that no measure reads."""
    embed = entail = None
    needs = {_measure(name).needs for name in names if name in catalog.entries("diversity")}
    if "embedder" in needs:
        from harness.metrics.diversity_embed import Embedder

        embed = Embedder(embedder, max_tokens=embed_tokens, progress=embedded)
    if "nli" in needs and nli is not None:
        from harness.metrics.diversity_nli import NliModel

        labels = [label.strip() for label in nli_labels.split(",")] if nli_labels is not None else None
        entail = NliModel(nli, labels=labels, progress=read)
    return Tools(embed=embed, entail=entail, bleu_tokenizer=bleu_tokenizer)
