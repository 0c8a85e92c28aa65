"""The front door's own log against the ledgers: two programs that saw the same answers."""

from __future__ import annotations

from collections.abc import Iterator

from judging.books import OBSERVER_PREFIX
from judging.crosschecks.case import BUSY_NS, CLOCK_NS, Case, first_few

WAITED = ("no answer within", "timed out", "ended before")  # how a client says that it was not the connection that ended


def door_counted(case: Case) -> Iterator[str]:
    """As many lines are there as the door is said to have written."""
    told = case.told("door_log")
    if not told:
        if case.plan is not None and case.plan.evidence_version > 1:
            yield "No door_log event says how many payments the front door logged."
        return
    payments, log = told[-1].data.get("payments"), case.door_log
    lines = 0 if log is None else len(log.frame) + log.keyless + log.bad_lines
    if lines != payments:
        yield f"logs/door.log holds {lines} payments; the door_log event says {payments}."


def door_told_the_same(case: Case) -> Iterator[str]:
    """The status that a ledger has for a payment is the status that the door passed on."""
    seen = case.door
    if seen is None:
        return
    both = case.payments.merge(seen, on="key", suffixes=("", "_door"))
    answered = both["status"].notna()
    other = answered & (both["status"].fillna(-2).astype("int64") != both["status_door"])
    # The same key may have been sent again by the door itself: one line with that status is enough.
    settled = set(both["key"][answered & ~other])
    wrong = both[other & ~both["key"].isin(settled)]
    if len(wrong):
        row = wrong.iloc[0]
        yield (
            f"{wrong['key'].nunique()} payments have another status in their ledger than in logs/door.log, the first"
            f" {row['key']}:"
            f" {row['status']} and {row['status_door']}."
        )
    # An answer may cross a client that gives up just then; but not one that was passed on whole (--) to a broken connection.
    whole = (both["end"] == "--") & ~both["error"].str.startswith(WAITED)
    success = both["status_door"].isin((200, 201)) & ~answered & (whole | (both["end_ns"] < both["done_ns"] - BUSY_NS))
    if success.any():
        yield (
            f"{int(success.sum())} payments without an answer in their ledger were answered by logs/door.log before their client"
            f" gave up, the first {both['key'][success].iloc[0]}."
        )


def door_saw_every_answer(case: Case) -> Iterator[str]:
    """An answer came through the door: each has its line there, but for those that the door says it dropped."""
    seen, payments = case.door, case.payments
    if seen is None or payments.empty:
        return
    dropped = sum(int(event.data.get("dropped") or 0) for event in case.told("door_log"))
    absent = payments["key"][payments["status"].notna() & ~payments["key"].isin(seen["key"])].tolist()
    if len(absent) > dropped:
        yield (
            f"{len(absent)} payments with an answer have no line in logs/door.log, which dropped {dropped}: {first_few(absent)}."
        )
    ours = (f"{case.run_id}-ready-", OBSERVER_PREFIX)
    strange = seen["key"][
        seen["status"].isin((200, 201)) & ~seen["key"].isin(payments["key"]) & ~seen["key"].str.startswith(ours)
    ]
    if len(strange):
        yield f"logs/door.log has {len(strange)} successful payments that no ledger has: {first_few(strange.tolist())}."


def door_agrees_on_time(case: Case) -> Iterator[str]:
    """A payment came to the door after it was sent, and its answer left before, or just when, it was read."""
    seen = case.door
    if seen is None:
        return
    both = case.payments.merge(seen, on="key", suffixes=("", "_door"))
    both = both[both["outcome"] == "acknowledged"]
    both = both[both["status_door"].isin((200, 201))]
    early = both["end_ns"] < both["sent_ns"] - CLOCK_NS
    off = early | ((both["end_ns"] - both["done_ns"]).abs() > BUSY_NS)
    if off.any():
        row = both[off].iloc[0]
        yield (
            f"{int(off.sum())} payments were acknowledged at another time in their ledger than in logs/door.log, the"
            f" first {row['key']}:"
            f" {case.since_start(int(row['done_ns']))} and {case.since_start(int(row['end_ns']))}."
        )
