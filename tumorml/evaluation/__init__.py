"""Evaluation of model versions: answers, metrics, intervals, slices and comparisons."""
