"""What training data and students are made with, by name: data only, read by `harness.catalog`."""

from __future__ import annotations

NAMES: dict[str, dict[str, tuple[str, str]]] = {
    # Entries are subclasses of `backends.makers.base.Maker`: ways to make training data.
    "maker": {
        "synth": ("backends.makers.embedded:Synth", "Write records of the embedded world: no data, no model."),
        "traces": ("backends.makers.traces:Traces", "Let a teacher answer prompts; keep what the grader confirms."),
        "dual": ("backends.makers.dual:Dual", "Rectify wrong chains, corrupt right ones: pairs for krsl."),
        "corrections": (
            "backends.makers.corrections:Corrections",
            "What is wrong in a solution, and it put right (lema, tailored).",
        ),
        "notes": ("backends.makers.notes:Notes", "What is to be learnt from wrong solutions (NesyCD)."),
        "knowledge": ("backends.makers.knowledge:Knowledge", "General rules behind solutions: data for lorid."),
        "inputs": ("backends.makers.inputs:SyntheticInputs", "New inputs after a few examples (KD of a 405B model)."),
        "harder": ("backends.makers.harder:Harder", "Harder questions from failed ones, solved twice (Socratic-Zero)."),
        "paths": ("backends.makers.hinted:PathTraces", "Traces with paths of a knowledge graph at hand (fs1)."),
        "mixed": ("backends.makers.hinted:MixedTraces", "English chains that keep a language's terms (KO-REAson)."),
        "clean": ("backends.makers.clean:Clean", "Leave out garbage, duplicates and near-duplicates (CCI4.0)."),
        "shorten": ("backends.makers.shorten:Shorten", "Rewrite responses to the length that their problems deserve."),
        "lengthen": ("backends.makers.lengthen:Lengthen", "Edit solutions into long thoughts, pass by pass."),
        "perspectives": (
            "backends.makers.perspectives:Perspectives",
            "Add right rationales from several perspectives.",
        ),
        "contrastive": ("backends.makers.contrastive:Contrastive", "Decode rationales for and against (SCOTT)."),
        "flip": (
            "backends.makers.flip:FlippedLabels",
            "Reasoning for the right label and for a wrong one: pairs for orpo.",
        ),
        "rationales": ("backends.makers.cotd:Rationales", "Let a teacher think, and not answer (CoTD-PO)."),
        "candidates": ("backends.makers.cotd:Candidates", "Let a student answer given those thoughts, with rewards."),
        "structure": ("backends.makers.structure:StepLists", "Cut paths of reasoning into steps, checked (RLKD)."),
        "protocols": ("backends.makers.protocols:Protocols", "Mine a protocol of steps, write chains by it (Chem-R)."),
        "endings": ("backends.makers.endings:Endings", "Let the teacher end what the student began (DASD)."),
        "steps": ("backends.makers.steps:Steps", "Label steps by how often it ends well from there (Fin-PRM)."),
        "verdicts": (
            "backends.makers.verdicts:RightVerdicts",
            "Ask which answer of a pair is better; keep right reasons.",
        ),
        "negatives": ("backends.makers.negatives:OwnMistakes", "The student's own wrong answers as negatives."),
        "passrate": ("backends.makers.passrate:PassRate", "Keep questions that a student does not master yet (DED)."),
        "perplexity": ("backends.makers.perplexity:Perplexity", "Leave out responses that a model finds unlikely."),
        "guided": ("backends.makers.guided:Guided", "Keep the response with most of the teacher in it."),
        "confident": ("backends.makers.confident:Confident", "Keep traces that are right and state it (PRISM)."),
        "select": (
            "backends.makers.select:Select",
            "Keep what is far from benchmarks or apart, hard, long, by chance.",
        ),
        "opinions": ("backends.makers.opinions:Opinions", "Questions whose asker has an opinion (sycophancy)."),
        "missing": ("backends.makers.missing:MissingPremises", "Questions without a number that they need (MiP)."),
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
        "leak": ("backends.rewards.leak:Leak", "-1 for an appeal to what the prompt does not hold, by a judge"),
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
        "mt_re": ("backends.methods.two_views:MT_RE", "two tasks: the answer alone; the rationale alone (reasoning)"),
        "mt_ra": (
            "backends.methods.two_views:MT_RA",
            "two tasks: the answer alone; the answer and then its rationale (rationalisation)",
        ),
        "lema": (
            "backends.methods.lema:METHOD",
            "right solutions, and corrections of wrong ones, of which only the correction is learnt (LEMA)",
        ),
        "tailored": (
            "backends.methods.tailored:METHOD",
            "right rationales, nearer to each other than to a wrong one, by rounds (Learn-to-Reason)",
        ),
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
        "mind": (
            "backends.methods.mind:METHOD",
            "perspectives on a question, weighed by a scorer of what the student can learn from now (MIND)",
        ),
        "qcrd": (
            "backends.methods.qcrd:METHOD",
            "the label, right rationales up and likely wrong ones down, weighed by a discriminator (QCRD)",
        ),
        "specialized_kd": (
            "backends.methods.specialized_kd:METHOD",
            "teacher text with and without exemplars, with and without a chain, and its top five tokens",
        ),
        "kd": ("backends.methods.kd:METHOD", "the teacher's next-token distributions: forward or reverse KL, JSD"),
        "uld": (
            "backends.methods.cross_tokenizer:ULD",
            "a teacher of any vocabulary: the likelihood, and the distance of sorted probabilities",
        ),
        "gold": (
            "backends.methods.cross_tokenizer:GOLD",
            "a teacher of any vocabulary: divergence on tokens that both have, the rest sorted (GKD for any two)",
        ),
        "gld": (
            "backends.methods.cross_tokenizer:GLD",
            "uld, and how a teacher's highest scores go together over a response (InfiGFusion; a reconstruction)",
        ),
        "gsrm": (
            "backends.methods.gsrm:METHOD",
            "a model that cuts reasoning into steps: why, what is asked, what comes out, learnt in turn (RLKD)",
        ),
        "prm": ("backends.methods.prm:METHOD", "a process reward model: whether each step, and all, is good (Fin-PRM)"),
        "rm": ("backends.methods.rm:METHOD", "a reward model, from pairs of a better and a worse answer (CoTD-PO)"),
        "dear": (
            "backends.methods.dear:METHOD",
            "a judge or reward model whose scores of a list follow a teacher's (DeAR: RankNet, list-wise KL)",
        ),
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
