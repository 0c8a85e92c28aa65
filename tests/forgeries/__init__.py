"""Lies told in the evidence, one a file: what lies stands in its docstring, `caught_by` names the rule that finds it."""
