"""Training records and their segments."""
