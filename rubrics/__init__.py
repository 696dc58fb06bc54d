"""Judge prompts as data: one TOML file each, listed in `harness.catalog` (kind "rubric"), read by `judges.rubric`."""
