"""Losses as pure functions on tensors: shapes in the names, every one tested against hand-computed values."""
