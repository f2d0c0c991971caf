"""The command line. Every command is a few lines over the library; `run` hands over to the flow."""
