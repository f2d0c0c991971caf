"""The command line: one module for each panel of the help, each command a few lines."""
