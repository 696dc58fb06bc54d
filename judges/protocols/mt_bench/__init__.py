"""MT-Bench: prompts, files and scores of single grading and pairs."""
