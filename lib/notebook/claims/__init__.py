"""Answers and claims, one module a notebook: sentences made of a run's numbers."""
