"""Which measures of diversity are computed, and what they need: an embedder, an NLI model, sacrebleu."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib.util import find_spec
from typing import cast

from harness import catalog
from harness.distribution import install_command
from harness.errors import UnknownName, UsageError
from harness.metrics import parse_metric
from harness.metrics.diversity import Measure, Tools
from harness.run.responses import Responses

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
