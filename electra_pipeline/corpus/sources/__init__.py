"""Find the files of all sources and read their documents."""
