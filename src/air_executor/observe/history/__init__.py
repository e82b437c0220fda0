"""What has become of all jobs, in a database: SQLite beside the jobs, or PostgreSQL. Works with SQLAlchemy 1.4 and 2.

It is derived from the journals alone, and written by whoever follows them: tasks never wait for it.
"""
