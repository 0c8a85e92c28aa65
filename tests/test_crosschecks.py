"""Rules that hold records against each other, where a busy machine could make them cry wolf."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from judging.crosschecks.nodes import _not_writing, _sampled

S = 1_000_000_000


def test_who_has_not_answered_for_a_second_may_be_told_as_down() -> None:
    """An answer was on its way for 1.03 s on a busy machine; nothing failed, and the observer rightly said `down`."""
    times = np.array([0, S, int(2.03 * S), 3 * S], dtype=np.int64)
    roles = {"dc2-a": (times, ["standby"] * 4)}
    assert _sampled(roles, "dc2-a", "down", int(2.01 * S))
    assert not _sampled(roles, "dc2-a", "down", int(1.9 * S))  # it had answered in the second before
    assert not _sampled(roles, "dc2-a", "primary", int(2.01 * S))
    assert _sampled(roles, "dc2-a", "standby", int(2.01 * S))
    assert not _sampled(roles, "nobody", "down", 0)


@pytest.mark.parametrize(
    ("error", "idle"),
    [("connection refused", True), ("no answer within 0.75 s", False), ("connection timeout expired", False)],
)
def test_a_database_that_is_slow_to_answer_may_write_all_the_same(error: str, idle: bool) -> None:
    """Beside a full machine a primary took payments for 22 s and no new guest: 29 of them were called a contradiction."""
    times = np.arange(0, 10 * S, S // 4)
    theirs = pd.DataFrame({"asked_ns": times, "t_ns": times + 1000, "ok": 0, "error": error})
    assert bool(_not_writing(theirs.assign(in_recovery=pd.array([pd.NA] * len(times), dtype="Int64")))) is idle
