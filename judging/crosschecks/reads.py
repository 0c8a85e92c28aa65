"""What customers read back, against the seed and their ledger: which looks were reads, and of which payment."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from judging.columns import Codes
from judging.crosschecks.case import Case, first_few
from judging.crosschecks.schedule import acts_of_customers


def reads_follow_the_looks(case: Case) -> Iterator[str]:
    """Each second look of a customer is at its payment that was acknowledged last: how many there were follows from the seed."""
    reads, evidence = case.records.reads, case.records.evidence
    if reads is None or case.records.ledger is None:
        return
    book, codes = evidence.keys, evidence.read_keys
    prefix, number = np.divmod(codes, book.BASE)
    sent, done = reads["sent_ns"].to_numpy(dtype=np.int64), reads["done_ns"].to_numpy(dtype=np.int64)
    known = np.zeros(len(codes), np.bool_)
    acts = case.once(acts_of_customers)
    for customer in case.by_customer:
        first = book.encode(pa.array([f"{case.run_id}-c-{customer}-0000000"], type=pa.large_string()))
        theirs = np.flatnonzero(prefix == first[0] // book.BASE)
        known[theirs] = True
        theirs = theirs[np.argsort(sent[theirs], kind="stable")]
        looks = acts[customer].looks if customer in acts else []
        yield from _of_one(case, customer, number[theirs], sent[theirs], done[theirs], looks)
    if not known.all():
        yield f"reads.csv holds reads of payments that no customer sent: {first_few(book.decode(codes[~known]))}."


def _of_one(case: Case, customer: int, number: Codes, sent: Codes, done: Codes, looks: list[int]) -> Iterator[str]:
    """One customer's reads, in the order of sending; `looks`: how many came right before each of its payments."""
    ledger = case.records.ledger
    assert ledger is not None
    payments = ledger.iloc[case.by_customer[customer][0]]
    began = payments["sent_ns"].to_numpy(dtype=np.int64)
    ended = payments["done_ns"].to_numpy(dtype=np.int64)
    acknowledged = (payments["outcome"] == "acknowledged").to_numpy(dtype=np.bool_)
    # Of each gap, between a payment and the next: which payment was acknowledged last; -1: none was yet.
    last = np.concatenate([[-1], np.maximum.accumulate(np.where(acknowledged, np.arange(len(began)), -1))])
    gap = np.searchsorted(began, sent, side="right")
    at_once = (sent < np.concatenate([[0], ended])[gap]) | (done > np.concatenate([began, [1 << 62]])[gap])
    at_once[1:] |= sent[1:] < done[:-1]
    if at_once.any():
        yield f"reads.csv: customer {customer} does one thing at a time; {int(at_once.sum())} reads overlap with its other acts."
    if (wrong := number != last[gap]).any():
        yield (
            f"reads.csv: customer {customer} reads back what was acknowledged last; {int(wrong.sum())} reads are of another"
            f" payment, the first of number {int(number[wrong][0])}."
        )
    until = np.cumsum(np.array(looks, np.int64))
    odd = until // 2 - (until - np.array(looks, np.int64)) // 2  # every second look of all, from the second on
    expected = np.where(last[: len(looks)] >= 0, odd, 0)
    seen = np.bincount(gap, minlength=len(began) + 1)[: len(looks)]
    if (differs := np.flatnonzero(expected != seen)).size:
        place = int(differs[0])
        yield (
            f"reads.csv: customer {customer} read back {int(seen[place])} times right before its payment {place}; by the seed it"
            f" was {int(expected[place])} times ({len(differs)} such places)."
        )
