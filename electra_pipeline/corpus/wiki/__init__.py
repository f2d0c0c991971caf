"""MediaWiki's markup: what a wiki's language names its parts, and what templates render."""
