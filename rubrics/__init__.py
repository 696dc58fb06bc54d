"""Judge prompts as data: one TOML file each, listed in `harness.catalog`, read by `judges.prompts.rubric`."""
