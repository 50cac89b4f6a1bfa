"""HTML: the page at `/`, and those behind the links of sessions."""
