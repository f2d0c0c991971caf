"""Configuration base classes, execution, progress and optimizers: what every stage uses."""
