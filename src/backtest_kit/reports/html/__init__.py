"""The HTML report: one page that needs nothing else, neither files nor a network."""
