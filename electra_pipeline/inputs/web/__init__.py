"""Web archives: WARC records, HTTP responses, character encodings."""
