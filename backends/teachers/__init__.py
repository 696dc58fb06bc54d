"""Who tells the student more than a right answer: other models, and the student's own weights of another time."""
