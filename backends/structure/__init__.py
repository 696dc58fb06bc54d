"""How a path of reasoning is cut into steps, and how two such lists are compared: RLKD (arXiv 2505.16142)."""
