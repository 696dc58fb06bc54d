"""Training records, their segments, and the recipes that make them."""
