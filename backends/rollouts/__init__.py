"""What the student writes while it is trained: drawn, marked, kept, and given to the trainer as examples."""
