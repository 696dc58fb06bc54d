"""Same-budget comparison of training methods: what differs beyond training seed, question and sampling.

`spec` says what is compared and what a trainer must be able to do, `training` does it with `backends` (no other module
here knows of them), `runner` trains and evaluates, `samples` reads the stored scores, `compare` makes means, paired
differences, ranks and variance components of them, `report` tables and JSON, `page` pictures. `harness bench` is its
command line.
"""
