"""What people see of it: in a terminal, as a page, as JSON."""
