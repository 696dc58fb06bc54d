"""Records whose prompts overlap with no benchmark's questions (`backends.records.contamination` says how)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from backends.makers.asking import Ask
from backends.makers.base import Made, Maker, option
from backends.records.contamination import Hit, Questions, words
from backends.records.inputs import read_all
from backends.records.record import TrainRecord
from harness import catalog
from harness.errors import DataError, HarnessError
from harness.plain import plural
from harness.suites import load_problems, load_suite
from harness.types import Json, Problem


@dataclass(frozen=True, kw_only=True)
class Decontaminate(Maker):
    """Leave out the records whose prompts overlap with a benchmark's questions.

    RECORDS may also be prompt files as `harness data traces` takes them: it costs least before a teacher answers.
    Generated suites (synth), whose questions look alike without being the same, are compared as whole questions. A
    suite whose data are not at hand is listed as unchecked, and the report says so: give --data-dir. Finds copies and
    edits; hardly any paraphrase (docs/data.md), for which --cosine compares embeddings as well.

    \b
    harness data decontaminate traces.jsonl --suite all --data-dir ./benchmarks -o clean.jsonl
    """  # noqa: D301  # a real backspace: it tells click to keep these lines

    suite: str = option("all", shown="all|NAME,…")
    """Benchmarks to look for."""
    ngram: int = option(8, least=2, most=100)
    """Words of a gram."""
    threshold: float = option(0.2, above=0, most=1)
    """Share of a question's or prompt's grams from which it counts as the same."""
    cosine: float | None = option(None, above=0, most=1)
    """Cosine of embeddings from which a prompt counts as a question's paraphrase. [default: not compared]"""
    embedder: str = option("", shown="NAME")
    """With --cosine: folder or hub id of a sentence-transformers model. [default: all-MiniLM-L6-v2]"""
    data_dir: Path | None = None

    name = "decontaminate"
    role = ""
    nothing = "every record overlaps with a benchmark"

    @classmethod
    def read(cls, files: Sequence[str], given: Mapping[str, Any]) -> tuple[list[TrainRecord], dict[str, Json]]:
        """Records, or rows of prompt files."""
        return read_all(files, plain=True), {"inputs": list(files)}

    def run(self, ask: Ask) -> Made:
        """Compare all with every suite named, and keep what overlaps with none."""
        hits, suites, asked = self._look()
        alike: dict[str, Json] = {}
        if self.cosine is not None:
            found, identity = self._paraphrases(asked, {hit.record for hit in hits}, self.cosine)
            hits += found
            alike = {"cosine": self.cosine, **identity, "paraphrases": len(found)}
        bad = {hit.record for hit in hits}
        by_suite = Counter(suite for _, suite in {(hit.record, hit.suite): None for hit in hits})
        unchecked = [name for name, facts in suites.items() if facts["checked"] == "no"]
        notes = [f"{name}: overlaps with {plural(count, 'record')}" for name, count in by_suite.most_common()]
        if unchecked:
            notes.append(f"warning: NOT checked against {', '.join(unchecked)}: their data are not at hand")
        facts: dict[str, Json] = {
            "ngram": self.ngram,
            "threshold": self.threshold,
            **alike,
            "suites": suites,
            "unchecked": list(unchecked),
            "hits_by_suite": dict(by_suite.most_common()),
            "hits": [{**asdict(hit), "overlap": round(hit.overlap, 4)} for hit in hits],
        }
        clean = tuple(record for record in self.records if record.id not in bad)
        counts = {"given": len(self.records), "contaminated": len(bad), "clean": len(clean)}
        return Made(clean, counts, facts=facts, note="\n".join(notes))

    def _paraphrases(
        self, asked: Sequence[tuple[str, Problem]], found: Collection[str], least: float
    ) -> tuple[list[Hit], Mapping[str, Json]]:
        """The records that are not found yet and lie near to a question, and what embedded them."""
        from backends.makers.select import nearest_of
        from harness.metrics.diversity_embed import Embedder

        embed = Embedder(self.embedder)
        left = [record for record in self.records if record.id not in found]
        if not left:
            return [], embed.identity()
        questions = embed([problem.messages[-1].content for _, problem in asked])
        cosines, places = nearest_of(embed([record.prompt[-1].content for record in left]), questions)
        near = [
            Hit(record.id, asked[place][0], asked[place][1].id, float(cosine), 0)
            for record, cosine, place in zip(left, cosines, places, strict=True)
            if cosine >= least
        ]
        return near, embed.identity()

    def _look(self) -> tuple[list[Hit], dict[str, dict[str, Json]], list[tuple[str, Problem]]]:
        """What overlaps; for every suite how it was checked and how many questions it has, or why not; all questions.

        A suite named by the user must be readable; of "all", what cannot be read is unchecked. Raises `DataError` if
        nothing could be checked.
        """
        everything = self.suite == "all"
        questions, hits = Questions(self.ngram, self.threshold), []
        every: list[tuple[str, Problem]] = []
        suites: dict[str, dict[str, Json]] = {}
        wanted = list(catalog.entries("suite")) if everything else [name.strip() for name in self.suite.split(",")]
        for name in dict.fromkeys(wanted):
            try:
                suite = load_suite(name)
                problems = load_problems(suite, self.data_dir, 0, None)
            except HarnessError as error:
                if not everything:
                    raise
                suites[name] = {"checked": "no", "why": str(error)}
                continue
            every += [(name, problem) for problem in problems]
            generated = suite.data.generate is not None
            suites[name] = {"checked": "whole questions" if generated else "grams", "questions": len(problems)}
            if not generated:
                questions.add(name, problems)
                continue
            asked = {tuple(words(problem.messages[-1].content)): problem.id for problem in problems}
            for record in self.records:
                said = tuple(words(record.prompt[-1].content))
                if said in asked:
                    hits.append(Hit(record.id, name, asked[said], 1.0, len(said)))
        if all(facts["checked"] == "no" for facts in suites.values()):
            raise DataError("no suite could be checked: name the folder of their data with --data-dir")
        hits += [hit for record in self.records for hit in questions.hits(record)]
        for name, count in questions.unchecked.items():
            suites[name]["too_short"] = count
        return hits, suites, every
