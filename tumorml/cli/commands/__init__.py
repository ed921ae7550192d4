"""Commands of `tumorml`, one module for each group of related commands."""
