"""A small transformer that reads digits, trained for the table of what quantizing costs."""
