"""What stored runs say beyond their scores: `harness analyze NAME RUN…`, one module each, listed in the catalog."""
