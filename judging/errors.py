"""The tree of errors. Each says what was expected, what was seen and what to do next.

DrillbookError
├── CouldNotStart        exit 3: nothing was measured (no engine, taken port, too little memory, wrong name)
│   └── BadInput         the caller's words are off
└── CouldNotTell         exit 2: the run ended without an answer (a proof that could not be read, a helper that died)
    └── EvidenceError    a run directory that does not hold what docs/evidence.md describes
"""

from __future__ import annotations


class DrillbookError(Exception):
    """Base of all our errors; `exit_code` is what `drillbook` ends with."""

    exit_code = 2


class CouldNotStart(DrillbookError):
    exit_code = 3


class BadInput(CouldNotStart):
    pass


class CouldNotTell(DrillbookError):
    exit_code = 2


class EvidenceError(CouldNotTell):
    pass
