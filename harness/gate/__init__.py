"""The regression gate: has a candidate become worse than a baseline by more than a margin?

    margin     what a margin means for a metric
    values     one value per problem of either side, from a stored run or a small baseline file
    decide     pass, regress or inconclusive
    plan       what it would take to decide
    resolve    names and model specs -> the two sides of every suite
    report     the verdicts as text and JSON; `junit` and `github` for machines

Reasons and formulas: `docs/gate.md`; evidence: `python benchmarks/sim_gate.py`.
"""
