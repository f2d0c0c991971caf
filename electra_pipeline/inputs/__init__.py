"""Input files: find, digest and fetch them before work starts; decompress and parse them."""
