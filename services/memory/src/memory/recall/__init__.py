"""Recall: what a question means, which memories answer it, in what order, and why."""
