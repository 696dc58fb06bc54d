"""The judged part of a run: who judges, what is asked, what is written."""
