"""Recipes: records in, better or other records out, through a teacher, with every loss counted.

A recipe is built from its input, says what it would ask first (`first`, for a dry run), and makes its records with
whatever answers its queries (`run`): an `Asker` over any model, or a function in a test. What a recipe drops it counts
by reason; what it keeps has been checked as its module says, and its meta says who wrote it and with which template.
"""
