"""The regression gate: has a candidate become worse than a baseline by more than a margin?

    values     one value per problem of either side, from a stored run or a small baseline file
    pairs      the rule with its margin, and both sides problem by problem
    decide     pass, regress or inconclusive
    needs      what it would take to decide, and what can be shown at all
    resolve    names and model specs -> the two sides of every suite
    report     the verdicts as text and JSON; `junit` and `github` for machines

Reasons and formulas: `docs/gate.md`; evidence: `python benchmarks/sim_gate.py`.
"""
