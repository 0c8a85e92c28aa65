"""Customers that pay as fast as they are answered: `python -m tests.paying --door URL --run-id ID --seconds S [--out DIR]`.

Prints how many payments were acknowledged in that time. With `--out` each is written to a ledger, as the probe writes its own.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from load.ledger import Door, PipedLedger, Row, Transfer

ACCOUNTS_ASKED_WITHIN_S = 10


async def pay(door: Door, run_id: str, number: int, accounts: Sequence[str], until_ns: int, book: PipedLedger | None) -> int:
    """One customer on one connection, until that time; the payments that were acknowledged."""
    choice, acknowledged, count = random.Random(number), 0, 0
    reader, writer = await asyncio.open_connection(door.host, door.port)
    while (sent_ns := time.monotonic_ns()) < until_ns:
        transfer, key = Transfer.draw(choice, accounts), f"{run_id}-{number}-{count:07d}"
        body = transfer.json_text().encode()
        head = (
            f"POST /payments HTTP/1.1\r\nHost: {door.authority}\r\nContent-Type: application/json\r\nIdempotency-Key: {key}\r\n"
        )
        writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        answer = (await reader.readuntil(b"\r\n\r\n")).lower()
        await reader.readexactly(int(answer.partition(b"content-length:")[2].split(b"\r\n")[0]))
        status = int(answer.split(b" ", 2)[1])
        if book is not None:
            book.add(Row(key, sent_ns, sent_ns, time.monotonic_ns(), status, transfer))
        acknowledged += status == 201
        count += 1
    writer.close()
    return acknowledged


async def run(options: argparse.Namespace, accounts: Sequence[str], book: PipedLedger | None) -> int:
    until_ns = time.monotonic_ns() + int(options.seconds * 1e9)
    door = Door.parse(options.door)
    paying = [pay(door, options.run_id, number, accounts, until_ns, book) for number in range(options.customers)]
    return sum(await asyncio.gather(*paying))


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--door", required=True)
    parser.add_argument("--run-id", required=True)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--customers", type=int, default=8)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args(argv)
    accounts = Door.parse(options.door).accounts(timeout_s=3, patience_s=ACCOUNTS_ASKED_WITHIN_S)
    book = PipedLedger(options.out / f"{options.run_id}.csv") if options.out else None
    print(asyncio.run(run(options, accounts, book)))
    if book is not None:
        book.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
