"""Judging protocols of published benchmarks: what each asks of a judge, and how it turns verdicts into its score."""
