"""What the command line and the flows both run: several stages or trials, recorded and reported."""
