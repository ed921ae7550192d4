"""Rendering: HTML pages, PDF files, slides and plots. Knows nothing about runs."""
