"""Reports on one subject each: rows from facts, their columns, and figures over them."""
