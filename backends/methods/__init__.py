"""One small module per published method: what it reads, what it minimises, its options and its paper's settings."""
