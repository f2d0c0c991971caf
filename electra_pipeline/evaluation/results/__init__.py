"""What the legs found: the database, tables, statistics and the report."""
