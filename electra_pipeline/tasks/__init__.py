"""Labelled data and the kinds of task that encoders are evaluated on."""
