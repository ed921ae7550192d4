"""What is told about one run: gathered once, then shown as page, PDF, slides and model card."""
