"""The report, slide deck and model card of one run."""
