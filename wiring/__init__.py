"""How the stages are called: a module for each thing that a user does; `pipeline` lists them.

This room alone wires the stages together, and no stage calls another. Each function looks at the
files that it is given first, and only then imports its stages: torch takes seconds to load, and a
mistyped path should be told at once.
"""
