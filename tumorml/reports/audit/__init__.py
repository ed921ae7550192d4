"""What people read about an audit: in the terminal, on a page, as CSV."""
