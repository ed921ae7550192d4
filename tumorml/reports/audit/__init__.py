"""Results of an audit: in the terminal, as an HTML page, and as CSV."""
