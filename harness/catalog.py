"""THE list of everything that has a name: kind -> name -> ("module:attribute", one-line summary).

Names are strings so that listing them imports nothing. `load(kind, name)` imports the module of that one entry.
To add something: write it in a module, add one line here. Third parties: the entry-point group `harness.plugins`,
entry names "kind.name", e.g. `suite.mybench = "mypackage.bench:SUITE"`; read for listing, loaded on look-up.
"""

from __future__ import annotations

import importlib
from functools import cache
from importlib import metadata
from typing import Literal, get_args

from harness.errors import UnknownName, UsageError

Kind = Literal[
    "suite", "model", "grader", "metric", "protocol", "rubric", "judging", "diversity", "maker", "reward", "method"
]
KINDS: tuple[Kind, ...] = get_args(Kind)
Entry = tuple[str, str]

_CATALOG: dict[Kind, dict[str, Entry]] = {
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
        "synth_easy": ("harness.suites.synth:SYNTH_EASY", "levels 1 and 2 of synth, 100 problems: the quick look"),
    },
    "model": {
        "mock": ("harness.models.mock:build", "mock:gold|wrong|garbled|silent|slow|judge: deterministic stand-ins"),
        "openai": ("harness.models.openai:build", "openai:<model>: any OpenAI-compatible endpoint"),
        "hf": ("harness.models.hf:build", "hf:<path or hub id>: transformers, LoRA adapters, GGUF files"),
        "vllm": ("harness.models.vllm:build", "vllm:<path or hub id>: vLLM in process"),
        "trained": ("harness.models.trained:build", "trained:<id>: a model of the registry (`harness models list`)"),
        "smollm2": ("harness.models.smollm2:build", "SmolLM2-135M-Instruct from an installed package, no download"),
        "tiny": ("harness.models.tiny:build", "3.5M parameters, trained on the embedded world at the first use"),
    },
    "grader": {
        "integer": ("harness.grading.integer:GRADER", "whole numbers: leading zeros, `42.`, boxed, dollars in prose"),
        "number": ("harness.grading.number:GRADER", "decimals and fractions, compared exactly"),
        "math": ("harness.grading.math:GRADER", "formulas, lists, equations and units, compared at random points"),
        "choice": ("harness.grading.choice:GRADER", "multiple choice by letter"),
        "exact": ("harness.grading.exact:GRADER", 'normalised string equality after "the answer is"'),
        "json": ("harness.grading.json_fields:GRADER", "fields of exactly one JSON object"),
        "labels": ("harness.grading.labels:GRADER", "18 text-quality indicators in one JSON object, each on its own"),
        "lighteval": ("harness.grading.lighteval:GRADER", "lighteval's own metric of a task"),
        "gym": ("harness.grading.gym:GRADER", "reasoning-gym's own scoring of a task"),
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
    # Entries are subclasses of `backends.makers.base.Maker`: ways to make training data.
    "maker": {
        "synth": ("backends.makers.embedded:Synth", "Write records of the embedded world: no data, no model."),
        "traces": ("backends.makers.traces:Traces", "Let a teacher answer prompts; keep what the grader confirms."),
        "dual": ("backends.makers.dual:Dual", "Rectify wrong chains, corrupt right ones: pairs for krsl."),
        "shorten": ("backends.makers.shorten:Shorten", "Rewrite responses to the length that their problems deserve."),
        "perspectives": (
            "backends.makers.perspectives:Perspectives",
            "Add right rationales from several perspectives.",
        ),
        "rationales": ("backends.makers.cotd:Rationales", "Let a teacher think, and not answer (CoTD-PO)."),
        "candidates": ("backends.makers.cotd:Candidates", "Let a student answer given those thoughts, with rewards."),
        "structure": ("backends.makers.structure:StepLists", "Cut paths of reasoning into steps, checked (RLKD)."),
        "steps": ("backends.makers.steps:Steps", "Label steps by how often it ends well from there (Fin-PRM)."),
        "verdicts": (
            "backends.makers.verdicts:RightVerdicts",
            "Ask which answer of a pair is better; keep right reasons.",
        ),
        "select": ("backends.makers.select:Select", "Keep what is farthest from a benchmark's questions (RLKD)."),
        "decontaminate": (
            "backends.makers.decontaminate:Decontaminate",
            "Leave out what overlaps with the benchmarks.",
        ),
    },
    # Entries are subclasses of `backends.rewards.base.Reward`: what a completion is worth while a student is trained.
    "reward": {
        "accuracy": ("backends.rewards.accuracy:Accuracy", "1 for a right answer, by the grader of the suites"),
        "format": ("backends.rewards.form:Format", "1 for a reply in the form that was asked for"),
        "tags": ("backends.rewards.form:Tags", "a quarter for each of four tags that stands in its place, once"),
        "length": ("backends.rewards.length:Length", "less than 0 near the token limit: DAPO's ramp"),
        "repetition": ("backends.rewards.length:Repetition", "less than 0 for tokens that repeat themselves"),
        "vote": ("backends.rewards.vote:GroupVote", "1 for the answer of the group's own majority; no gold needed"),
        "verdict": ("backends.rewards.verdict:RightVerdict", "1 for a judge's right verdict on two answers, else -1"),
        "judge": ("backends.rewards.judge:Judge", "what a judge gives by any rubric, from 0 to 1"),
        "structure": ("backends.rewards.structure:Structure", "how far a path goes the teacher's way (RLKD)"),
        "process": ("backends.rewards.process:Process", "what a process reward model says of the steps (Fin-PRM)"),
        "letters": ("backends.rewards.letters:Letters", "share of chosen characters: a dense reward for tests"),
    },
    # Entries are `backends.base.Method`s: ways to train a student.
    "method": {
        "sft": ("backends.methods.sft:METHOD", "maximum likelihood on the teacher's responses (MLE, Std-CoT, SeqKD)"),
        "thinkanswer": (
            "backends.methods.thinkanswer:METHOD",
            "the answer by likelihood, the chain by similarity of expected embeddings",
        ),
        "emo": (
            "backends.methods.emo:METHOD",
            "earth mover's distance to the reference token, in embedding space, beside the likelihood",
        ),
        "mixce": ("backends.methods.mixce:METHOD", "forward and reversed cross-entropy mixed"),
        "tailr": ("backends.methods.tailr:METHOD", "likelihood tailored towards total variation distance"),
        "krsl": (
            "backends.methods.krsl:METHOD",
            "key reasoning steps of right and wrong twins, found by edit distance (EDIT)",
        ),
        "cascod": (
            "backends.methods.two_views:CASCOD",
            "the rationale, then the answer given the rationale, each with its own mean",
        ),
        "mt_cot": ("backends.methods.two_views:MT_COT", "two tasks: the answer alone; the rationale and its answer"),
        "step_by_step": (
            "backends.methods.two_views:STEP_BY_STEP",
            "the label, and the rationale as a second task that is not needed at test time",
        ),
        "scott": (
            "backends.methods.two_views:SCOTT",
            "rationale and answer, and the answer that a counterfactual rationale leads to",
        ),
        "mcc_kd": (
            "backends.methods.mcc_kd:METHOD",
            "two rationales of a question, and the same answer distribution after both",
        ),
        "specialized_kd": (
            "backends.methods.specialized_kd:METHOD",
            "teacher text with and without exemplars, with and without a chain, and its top five tokens",
        ),
        "kd": ("backends.methods.kd:METHOD", "the teacher's next-token distributions: forward or reverse KL, JSD"),
        "gsrm": (
            "backends.methods.gsrm:METHOD",
            "a model that cuts reasoning into steps: why, what is asked, what comes out, learnt in turn (RLKD)",
        ),
        "prm": ("backends.methods.prm:METHOD", "a process reward model: whether each step, and all, is good (Fin-PRM)"),
        "dpo": ("backends.methods.preference:DPO", "prefer a response over another, relative to the untrained student"),
        "zephyr": (
            "backends.methods.preference:ZEPHYR",
            "SFT, then DPO on a teacher's preferred and rejected responses (dDPO)",
        ),
        "simpo": (
            "backends.methods.preference:SIMPO",
            "prefer a response by its mean log-probability, without a reference",
        ),
        "orpo": (
            "backends.methods.preference:ORPO",
            "likelihood of the preferred response and the odds ratio to the rejected one",
        ),
        "redi": (
            "backends.methods.preference:REDI",
            "SFT on right responses, then right ones up and wrong ones down, asymmetrically",
        ),
        "cotd_po": (
            "backends.methods.cotd_po:METHOD",
            "the teacher's rationale, and a reward model's preferences among the student's own K answers to it",
        ),
        "curiosft": (
            "backends.methods.curiosft:METHOD",
            "likelihood with a pull towards a warmer running mean of the student, which keeps entropy up",
        ),
        "grpo": (
            "backends.methods.grpo:METHOD",
            "completions of a prompt, each weighed by its reward beside the others' (and DAPO, Dr. GRPO, GSPO)",
        ),
        "ppo": (
            "backends.methods.ppo:METHOD",
            "a value function says what was expected at each token: no groups, several passes (PPO with GAE)",
        ),
        "ssr": ("backends.methods.ssr:METHOD", "reinforcement by the student's own vote, then by labels (MedSSR)"),
        "rjudge": ("backends.methods.rjudge:METHOD", "a reasoning judge: right reasons, then verdicts (WebArbiter)"),
        "cotd_rl": ("backends.methods.cotd_rl:METHOD", "CoTD-PO on answers that the student draws while it is trained"),
        "curio_rl": ("backends.methods.curio_rl:METHOD", "CurioSFT, then GRPO from it: whether kept entropy pays"),
        "mcq_rl": (
            "backends.methods.mcq_rl:METHOD",
            "GRPO on multiple choice with the right letter as the only reward (AlphaMed)",
        ),
        "rlkd": (
            "backends.methods.rlkd:METHOD",
            "right answers, and reasoning that goes the teacher's way by a structure reward model (RLKD)",
        ),
        "rft": (
            "backends.methods.rft:METHOD",
            "likelihood of the student's own right completions (rejection sampling, expert iteration)",
        ),
        "opd": (
            "backends.methods.opd:METHOD",
            "a teacher's opinion of each token that the student writes, as a policy gradient",
        ),
        "gkd": (
            "backends.methods.gkd:METHOD",
            "the teacher's distributions on responses that the student wrote in part (JSD, lambda)",
        ),
        "opsd": ("backends.methods.opsd:METHOD", "the student that sees a solution teaches the one that does not"),
        "sdft": ("backends.methods.sdft:METHOD", "the student that sees a good reply teaches the one that does not"),
        "sdpo": ("backends.methods.sdpo:METHOD", "what a right sibling or feedback would change, at each token"),
        "sd_zero": ("backends.methods.sd_zero:METHOD", "revising attempts is learnt, then done without"),
        "cord": ("backends.methods.cord:METHOD", "the student at a clean prompt teaches itself at the damaged one"),
        "minillm": (
            "backends.methods.minillm:METHOD",
            "the reverse KL of whole texts: what comes of a token later, and each position's exact KL",
        ),
        "tsd_kd": (
            "backends.methods.tsd_kd:METHOD",
            "openers by ranking, uncertain tokens more and certain ones less (token-selective dual distillation)",
        ),
        "kdrl": (
            "backends.methods.kdrl:METHOD",
            "a verifier's reward and a teacher's opinion of each token, together (KDRL, annealing, masks)",
        ),
        "trrd": (
            "backends.methods.trrd:METHOD",
            "a verifier's reward, with a ratio to the teacher as well as to the old policy (RLAD)",
        ),
        "srpo": (
            "backends.methods.teacher_mixes:SRPO",
            "the reward for right completions, a teacher's opinion of each token for wrong ones",
        ),
        "hdpo": (
            "backends.methods.teacher_mixes:HDPO",
            "the reward, and a teacher's opinion of each token where a whole group is wrong",
        ),
        "rlsd": (
            "backends.methods.teacher_mixes:RLSD",
            "the reward says where to, a teacher's opinion of each token how far",
        ),
        "opd_then_rl": (
            "backends.methods.teacher_mixes:OPD_THEN_RL",
            "on-policy distillation for so many steps, then the reward",
        ),
        "scope": (
            "backends.methods.scope:METHOD",
            "right completions by likelihood, wrong ones by a teacher's opinion, weighed by perplexity",
        ),
        "lightning_opd": (
            "backends.methods.lightning_opd:METHOD",
            "on-policy distillation from completions drawn once, which the teacher reads once",
        ),
        "merge": (
            "backends.methods.merge:METHOD",
            "average the weights of models, or balanced actor initialisation (BAI); no training",
        ),
    },
}

_PARTS: dict[Kind, tuple[str, ...]] = {
    "suite": ("data", "render"),
    "model": ("__call__",),
    "grader": ("grade",),
    "metric": ("function", "unit", "lower_is_better"),
    "protocol": ("apply",),
    "rubric": (),
    "judging": ("__call__",),
    "diversity": ("__call__",),
    "maker": ("first", "run"),
    "reward": ("score",),
    "method": ("options", "deviations"),
}
"""What a plugin's object must have, so that a wrong one is told before anything is spent."""

_WRITE: dict[Kind, str] = {"metric": ": write `harness.types.Metric(name, function, unit, lower_is_better)`"}


@cache
def _plugins() -> dict[str, metadata.EntryPoint]:
    """Entry points of other distributions, by "kind.name"; metadata only, their code is not loaded."""
    return {point.name: point for point in metadata.entry_points(group="harness.plugins")}


def entries(kind: Kind) -> dict[str, Entry]:
    """Everything of a kind: name -> ("module:attribute", summary), plugins included; own names win."""
    plugins = {
        name.split(".", 1)[1]: (point.value, f"plugin of {point.dist.name if point.dist else 'unknown'}")
        for name, point in sorted(_plugins().items())
        if name.startswith(f"{kind}.")
    }
    return _CATALOG[kind] | {name: entry for name, entry in plugins.items() if name not in _CATALOG[kind]}


def load(kind: Kind, name: str) -> object:
    """The object behind a name.

    Raises `UnknownName` for a name that is not listed, `UsageError` for a plugin that does not import.
    """
    known = entries(kind)
    if name not in known:
        raise UnknownName(kind, name, known)
    module, _, attribute = known[name][0].partition(":")
    if name in _CATALOG[kind]:
        return getattr(importlib.import_module(module), attribute)
    try:
        thing: object = getattr(importlib.import_module(module), attribute)
    except Exception as error:  # another's code: whatever it raises while it is imported
        raise UsageError(f"plugin {kind} {name!r} ({known[name][0]}) does not load: {error!r}") from error
    parts = ("__call__",) if name.endswith(":x") else _PARTS[kind]  # a metric for each part: a function that makes it
    if not all(hasattr(thing, part) for part in parts):
        raise UsageError(
            f"plugin {kind} {name!r} ({known[name][0]}) is no {kind}: it has no {' or '.join(parts)}"
            f"{_WRITE.get(kind, '')}"
        )
    return thing
