"""What people and programs see of a job, derived from its events and views only."""
