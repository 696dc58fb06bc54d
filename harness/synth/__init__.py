"""The embedded world: generated problems whose structure is known, with no data, network or model.

A problem (`SynthProblem`) is a question, its gold answer and the graph of its sub-problems; from these follow correct
chains of thought in three styles and several step orders, and wrong chains whose wrong step is labelled.

    from harness.synth import generate, correct_chains, twins, render, verify_chain
    problem = generate(seed=0, level=3, count=1, split="train")[0]
    right, wrong = twins(problem)
    verify_chain(problem, wrong)[0].index == wrong.error_step

Everything is a pure function of its arguments: same numbers in every process and Python version. See docs/synth.md.
"""

from harness.synth.chains import INSTRUCTION, build, correct_chains, orders, render
from harness.synth.corrupt import aligned, twins, wrong_chain
from harness.synth.generate import generate, stream
from harness.synth.records import (
    ALL_ERROR_KINDS,
    ERROR_KINDS,
    FAMILIES,
    LEVELS,
    SPLITS,
    STYLES,
    Chain,
    Equation,
    ErrorKind,
    Family,
    Level,
    Split,
    Style,
    SubProblem,
    SynthProblem,
)
from harness.synth.verify import verify_chain, verify_problem

__all__ = [
    "ALL_ERROR_KINDS",
    "ERROR_KINDS",
    "FAMILIES",
    "INSTRUCTION",
    "LEVELS",
    "SPLITS",
    "STYLES",
    "Chain",
    "Equation",
    "ErrorKind",
    "Family",
    "Level",
    "Split",
    "Style",
    "SubProblem",
    "SynthProblem",
    "aligned",
    "build",
    "correct_chains",
    "generate",
    "orders",
    "render",
    "stream",
    "twins",
    "verify_chain",
    "verify_problem",
    "wrong_chain",
]
