"""A second verifier, in one file that shares no code with the rest: an auditor gets it with the run."""
