"""Files from outside: found and digested before work starts, fetched, decompressed, read whole."""
