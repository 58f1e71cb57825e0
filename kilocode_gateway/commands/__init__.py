"""The commands of `python -m kilocode_gateway`: a module for each, whose `run` gives the exit code."""
