"""The judge laboratory: what a judge prompt is worth, measured on pairs of answers whose better one is known.

`sets` loads labelled pairs, `run` asks the judge about every one of them, `votes` turns its judgments into choices,
`agreement`, `bias`, `marks` and `replies` measure, and `versus` holds two prompts (or two judges) against each other
on the same frozen pairs. `harness judge lab` is the command.
"""
