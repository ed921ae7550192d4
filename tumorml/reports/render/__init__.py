"""Rendering of HTML pages, PDF files, slides and plots, independent of runs."""
