"""Judging open-ended answers with language models: rubrics, pairwise protocols, panels and a judge laboratory.

    rubric (data) ─▶ asks ─▶ judge model ─▶ replies ─▶ judgments ─▶ judged answers ─▶ estimates

A `Judging` (one per rubric or benchmark protocol) says what to ask about an answer and how the replies fold into one
value between 0 and 1. `judges.ask` puts the questions to any `harness.types.Model`, cached and within a budget. A reply
that cannot be read is asked for once more and then counted as unscored: it never becomes a score.
"""
