"""Documents to a generator and a discriminator: sequences, objective, loop, checkpoints."""
