"""What models are evaluated with, by name: data only, read by `harness.catalog`."""

from __future__ import annotations

NAMES: dict[str, dict[str, tuple[str, str]]] = {
    "suite": {
        "aime": ("harness.suites.competition:AIME", "AIME 2024 + 2025, 60 competition problems with integer answers"),
        "aime24": ("harness.suites.competition:AIME24", "AIME 2024 I and II, 30 problems"),
        "aime25": ("harness.suites.competition:AIME25", "AIME 2025 I and II, 30 problems"),
        "gpqa": ("harness.suites.gpqa:GPQA", "GPQA Diamond, 198 graduate-level science questions, 4 options"),
        "math500": ("harness.suites.competition:MATH500", "500 MATH problems, LaTeX answers"),
        "gsm8k": ("harness.suites.word_problems:GSM8K", "grade-school word problems, 1,319 test questions"),
        "amc23": ("harness.suites.competition:AMC23", "AMC 12 2023, 40 problems with numeric answers"),
        "minerva_math": ("harness.suites.competition:MINERVA_MATH", "272 undergraduate science problems"),
        "svamp": ("harness.suites.word_problems:SVAMP", "1,000 word problems of one or two steps, with distractors"),
        "mathglm": ("harness.suites.mathglm:MATHGLM", "5,000 Chinese word problems, JSON replies"),
        "bbh": ("harness.suites.bbh:BBH", "BIG-Bench Hard, 27 tasks"),
        "agieval": ("harness.suites.agieval:AGIEVAL", "AGIEval English multiple choice"),
        "arc_easy": ("harness.suites.arc:ARC_EASY", "ARC Easy, 2,376 science questions"),
        "arc_challenge": ("harness.suites.arc:ARC_CHALLENGE", "ARC Challenge, 1,172 science questions"),
        "alpaca_eval": ("harness.suites.alpaca_eval:ALPACA_EVAL", "AlpacaEval 2, 805 instructions against GPT-4 Turbo"),
        "arena_hard": ("harness.suites.arena_hard:ARENA_HARD", "Arena-Hard v0.1, 500 hard prompts against gpt-4-0314"),
        "arena_hard_v2": (
            "harness.suites.arena_hard:ARENA_HARD_V2",
            "Arena-Hard v2, hard prompts and creative writing, a baseline for each",
        ),
        "mt_bench": ("harness.suites.mt_bench:MT_BENCH", "MT-Bench, 80 questions of two turns, judged from 1 to 10"),
        "synth": ("harness.suites.synth:SYNTH", "generated arithmetic and word problems of known structure"),
        "synth_choice": (
            "harness.suites.synth_choice:SYNTH_CHOICE",
            "multiple choice: wrong options from natural mistakes",
        ),
        "synth_composed": (
            "harness.suites.synth:SYNTH_COMPOSED",
            "out of distribution: stories with operations that they never have in training",
        ),
        "synth_countdown": (
            "harness.suites.synth_logic:SYNTH_COUNTDOWN",
            "countdown: make a target of given numbers, each used once",
        ),
        "synth_missing": (
            "harness.suites.synth:SYNTH_MISSING",
            "word problems, whole and without a number that they need",
        ),
        "synth_distract": ("harness.suites.synth:SYNTH_DISTRACT", "word problems, clean and with irrelevant facts"),
        "synth_easy": ("harness.suites.synth:SYNTH_EASY", "levels 1 and 2 of synth, 100 problems: the quick look"),
        "synth_knights": ("harness.suites.synth_logic:SYNTH_KNIGHTS", "knights and knaves: who lies, who does not?"),
        "synth_long": ("harness.suites.synth:SYNTH_LONG", "out of distribution: synth with chains of 9 to 12 steps"),
    },
    "model": {
        "mock": ("harness.models.mock:build", "mock:gold|wrong|garbled|silent|slow|judge: deterministic stand-ins"),
        "openai": ("harness.models.openai:build", "openai:<model>: any OpenAI-compatible endpoint"),
        "hf": ("harness.models.hf:build", "hf:<path or hub id>: transformers, LoRA adapters, GGUF files"),
        "vllm": ("harness.models.vllm:build", "vllm:<path or hub id>: vLLM in process"),
        "trained": ("harness.models.trained:build", "trained:<id>: a model of the registry (`harness models list`)"),
        "smollm2": ("harness.models.smollm2:build", "SmolLM2-135M-Instruct from an installed package, no download"),
        "tiny12m": ("harness.models.tiny:build_12m", "12M parameters, the sibling of tiny with room for more"),
        "tiny": ("harness.models.tiny:build", "3.5M parameters, trained on the embedded world at the first use"),
        "tiny_bpe": ("harness.models.tiny_bpe:build", "a teacher like tiny with another tokenizer (uld, gld, gold)"),
        "fewshot": (
            "harness.systems.shots:build_few_shot",
            "fewshot:<k>:<model>: the model is shown k solved items",
        ),
        "cot": ("harness.systems.shots:build_thinking", "cot:<model>: a model that is told to think step by step"),
        "vote": ("harness.systems.vote:build", "vote:<n>:<model>: the majority's answer over n samples of a model"),
        "bestof": (
            "harness.systems.bestof:build",
            "bestof:<n>:<model>: the best of n samples by a reward model (by=trained:<id>)",
        ),
        "cascade": (
            "harness.systems.cascade:build",
            "cascade:<n>:<model>: the teacher (teacher=<model>) is asked where n samples disagree, or one is unsure",
        ),
        "budget": ("harness.systems.budget:build", "budget:<N>:<model>: think for at most N tokens, then answer"),
        "lorid": (
            "harness.systems.lorid:build",
            "lorid:<n>:<model>: answers by intuition, and by knowledge=<model> and reason=<model>, until they meet",
        ),
        "nesycd": (
            "harness.systems.nesycd:build",
            "nesycd:<k>:<model>: a teacher's notes on mistakes (notes=FILE) are looked up where the model is unsure",
        ),
        "gate": (
            "harness.systems.gate:build",
            "gate:<model>: answer where that is worth what a mistake costs, else not",
        ),
    },
    "grader": {
        "integer": ("harness.grading.integer:GRADER", "whole numbers: leading zeros, `42.`, boxed, dollars in prose"),
        "number": ("harness.grading.number:GRADER", "decimals and fractions, compared exactly"),
        "math": ("harness.grading.math:GRADER", "formulas, lists, equations and units, compared at random points"),
        "choice": ("harness.grading.choice:GRADER", "multiple choice by letter"),
        "abstain": (
            "harness.grading.abstaining:GRADER",
            "right where the reply says that the question cannot be answered",
        ),
        "exact": ("harness.grading.exact:GRADER", 'normalised string equality after "the answer is"'),
        "json": ("harness.grading.json_fields:GRADER", "fields of exactly one JSON object"),
        "labels": ("harness.grading.labels:GRADER", "18 text-quality indicators in one JSON object, each on its own"),
        "lighteval": ("harness.grading.lighteval:GRADER", "lighteval's own metric of a task"),
        "gym": ("harness.grading.gym:GRADER", "reasoning-gym's own scoring of a task"),
        "knights": ("harness.grading.knights:GRADER", "knights and knaves: what each person is"),
        "countdown": ("harness.grading.countdown:GRADER", "an expression of given numbers that has a given value"),
    },
    "metric": {
        "avg@n": ("harness.metrics.accuracy:AVG_AT_N", "mean over problems of the mean over samples (pass@1 over n)"),
        "pass@k": ("harness.metrics.passk:PASS_AT_K", "unbiased estimator of Chen et al. 2021"),
        "pass_first@k": ("harness.metrics.passk:PASS_FIRST_K", "any of the first k samples is right"),
        "maj@k": ("harness.metrics.passk:MAJ_AT_K", "majority vote over the first k samples"),
        "pass_gap@k": ("harness.metrics.passk:PASS_GAP_K", "pass@k - pass@1: what the best of k samples adds"),
        "maj_gap@k": ("harness.metrics.passk:MAJ_GAP_K", "maj@k - avg@n: what a majority vote adds"),
        "distinct_answers": ("harness.metrics.diversity_answers:DISTINCT_ANSWERS", "different answers to a problem"),
        "answer_entropy": ("harness.metrics.diversity_answers:ANSWER_ENTROPY", "entropy of the answers, in bits"),
        "em": ("harness.metrics.accuracy:EM", "share of graded answers that match, no-answers left out"),
        "em_micro": ("harness.metrics.labels:EM_MICRO", "share of labels that are right, over all indicators"),
        "em_all": ("harness.metrics.labels:EM_ALL", "share of replies in which every label is right"),
        "em:x": ("harness.metrics.labels:em_of", "share of replies with one indicator right: em:coherence"),
        "valid_labels": ("harness.metrics.labels:VALID_LABELS", "share of replies with only values of the closed sets"),
        "format:think": ("harness.metrics.accuracy:THINK", "share of replies with exactly one closed think block"),
        "format:boxed": ("harness.metrics.accuracy:BOXED", "share of replies with a boxed answer"),
        "format:json": (
            "harness.metrics.accuracy:JSON_OBJECT",
            "share of replies that are exactly the JSON object asked for",
        ),
        "tokens_out": ("harness.metrics.length:TOKENS_OUT", "mean generated tokens per sample"),
        "truncated": ("harness.metrics.length:TRUNCATED", "share of samples cut by the token limit"),
    },
    "protocol": {
        "r1": (
            "harness.run.presets:R1",
            "DeepSeek-R1: T 0.6, top-p 0.95, 32,768 tokens, n 64/8/4 for AIME/GPQA/MATH-500",
        ),
        "greedy": ("harness.run.presets:GREEDY", "one sample at temperature 0"),
    },
    # Entries are files: "package:file.toml", read by `judges.prompts.rubric.load_rubric`.
    "rubric": {
        "cot_math": ("rubrics:cot_math.toml", "mathematical reasoning on five dimensions, with a calculation label"),
        "cot_quality": ("rubrics:cot_quality.toml", "reasoning of any kind on five dimensions; two weightings"),
        "rating_10": ("rubrics:rating_10.toml", "one answer rated 1 to 10, against a reference where there is one"),
        "pairwise_5": ("rubrics:pairwise_5.toml", "two answers, five verdicts from A>>B to B>>A"),
        "pairwise_2": ("rubrics:pairwise_2.toml", "two answers, one token: for log-probability preferences"),
        "pairwise_verdict": ("rubrics:pairwise_verdict.toml", "two answers, reasons, then VERDICT: 1 or 2 (`rjudge`)"),
        "leak": ("rubrics:leak.toml", "whether an answer appeals to what its question does not hold: yes or no"),
        "attempted": ("rubrics:attempted.toml", "an answer against a reference: correct, incorrect or not attempted"),
        "flaw_repetition": ("rubrics:flaw_repetition.toml", "whether a thought goes round in circles: yes or no"),
        "thought_mismatch": (
            "rubrics:thought_mismatch.toml",
            "whether an answer leaves the thought before it: yes or no",
        ),
        "adequacy": ("rubrics:adequacy.toml", "how much of its source's meaning a translation keeps, 1 to 5"),
        "fluency": ("rubrics:fluency.toml", "how well formed a text is, 1 to 5"),
        "coherence": ("rubrics:coherence.toml", "how well a summary hangs together, 1 to 5"),
        "consistency": ("rubrics:consistency.toml", "how true a summary is to its source, 1 to 5"),
        "relevance": ("rubrics:relevance.toml", "how well a summary picks what matters, 1 to 5"),
        "abstained": (
            "rubrics:abstained.toml",
            "whether an answer says that its question cannot be answered: yes or no",
        ),
        "match_step": ("rubrics:match_step.toml", "whether two steps are taken for the same purpose: yes or no"),
        "match_question": ("rubrics:match_question.toml", "whether two sub-problems ask the same thing: yes or no"),
        "match_result": ("rubrics:match_result.toml", "whether two results are equal: yes or no"),
        "structure_match": ("rubrics:structure_match.toml", "whether two reasoning steps match: yes or no"),
    },
    # Entries are factories: (judges.types.JudgingOptions) -> judges.types.Judging.
    "judging": {
        "mt_bench": ("judges.protocols.mt_bench.judging:build", "MT-Bench: each turn rated from 1 to 10"),
        "mt_bench_pair": (
            "judges.protocols.mt_bench.judging:build_pair",
            "MT-Bench pairwise: a win is a win in both orders",
        ),
        "arena_hard": (
            "judges.protocols.arena.judging:build",
            "Arena-Hard v0.1: two games against the baseline, share of votes won",
        ),
        "arena_hard_v2": ("judges.protocols.arena.judging:build_v2", "Arena-Hard v2: the same, per category"),
        "alpaca_eval": (
            "judges.protocols.alpaca.judging:build",
            "AlpacaEval 2: preference over GPT-4 Turbo, length-controlled win rate",
        ),
    },
    # Entries are `harness.metrics.diversity.Measure`s: how different the responses of a run are.
    "diversity": {
        "distinct-1": ("harness.metrics.diversity_text:DISTINCT_1", "different words over all words"),
        "distinct-2": ("harness.metrics.diversity_text:DISTINCT_2", "different word pairs over all word pairs"),
        "ead": ("harness.metrics.diversity_text:EAD", "different words over those expected of so many draws"),
        "self-bleu": (
            "harness.metrics.diversity_text:SELF_BLEU",
            "BLEU of each response against the others; less is more",
        ),
        "dispersion": ("harness.metrics.diversity_embed:DISPERSION", "1 / mean cosine of embeddings to their mean"),
        "step-dispersion": (
            "harness.metrics.diversity_embed:STEP_DISPERSION",
            "the same, step by step of the reasoning",
        ),
        "vendi": ("harness.metrics.diversity_embed:VENDI", "effective number of different embeddings"),
        "nli": ("harness.metrics.diversity_nli:NLI", "contradictions less entailments between responses"),
    },
    "analysis": {
        "teacher": (
            "harness.analyses.teacher:TeacherPanel",
            "the teacher's gap: share recovered, losses, agreement, cost",
        ),
        "difficulty": (
            "harness.analyses.difficulty:Difficulty",
            "easy and hard problems before and after a training",
        ),
        "provenance": (
            "harness.analyses.provenance:Provenance",
            "whose each sentence of a student's answers is",
        ),
        "fidelity": (
            "harness.analyses.fidelity:Fidelity",
            "how closely a student follows its teacher: answers, words, next tokens",
        ),
        "hallucination": (
            "harness.analyses.hallucination:Hallucination",
            "wrong answers, silence, thoughts in circles, answers that leave their thought, calibration",
        ),
        "missing_premise": (
            "harness.analyses.missing_premise:MissingPremise",
            "whether a model notices that a premise is missing: abstention, length, first doubt",
        ),
        "meta_evaluation": (
            "harness.analyses.meta_evaluation:MetaEvaluation",
            "whether a judge rates translations and summaries as people do: correlations and coverage",
        ),
    },
}

SUITE_FORMS: dict[str, str] = {
    "gym": "gym:<task>: a task that reasoning-gym generates",
    "lighteval": "lighteval:<task>: a task of lighteval, asked and scored as it does",
    "questions": "questions:<grader>:<file>: your own questions, e.g. a CSV; grader: exact, number, math or another",
    "text_quality": "text_quality:<file>: 18 indicators of each of your texts, as one JSON object",
}
"""Prefix of a suite name -> how such a name is written, and what it is."""
