"""Customers that pay as fast as they are answered, by turns through two doors:

`python -m tests.paying --door URL --other URL --out DIR --run-id ID --turns N --turn-s S`

Payments through the first door are written to a ledger, as the probe writes its own; those through the other are not. Prints one
JSON array a pair of turns: the payments acknowledged through each. Who goes first changes from pair to pair.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from load.ledger import Door, PipedLedger, Row, Transfer

ACCOUNTS_ASKED_WITHIN_S = 10
WARM_UP_S = 3.0


class Customer:
    """One customer with a connection to each door."""

    def __init__(self, run_id: str, number: int, accounts: Sequence[str]) -> None:
        self.prefix = f"{run_id}-{number}"
        self.accounts = accounts
        self.choice = random.Random(number)
        self.count = 0
        self.connections: dict[Door, tuple[asyncio.StreamReader, asyncio.StreamWriter]] = {}

    async def pay(self, door: Door, until_ns: int, book: PipedLedger | None) -> int:
        """Until that time; the payments that were acknowledged."""
        if door not in self.connections:
            self.connections[door] = await asyncio.open_connection(door.host, door.port)
        reader, writer = self.connections[door]
        acknowledged = 0
        while (sent_ns := time.monotonic_ns()) < until_ns:
            transfer, key = Transfer.draw(self.choice, self.accounts), f"{self.prefix}-{self.count:07d}"
            self.count += 1
            body = transfer.json_text().encode()
            head = f"POST /payments HTTP/1.1\r\nHost: {door.authority}\r\nContent-Type: application/json\r\n"
            writer.write(f"{head}Idempotency-Key: {key}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
            answer = (await reader.readuntil(b"\r\n\r\n")).lower()
            await reader.readexactly(int(answer.partition(b"content-length:")[2].split(b"\r\n")[0]))
            status = int(answer.split(b" ", 2)[1])
            if book is not None:
                book.add(Row(key, sent_ns, sent_ns, time.monotonic_ns(), status, transfer))
            acknowledged += status == 201
        return acknowledged


async def take_turns(options: argparse.Namespace, accounts: Sequence[str], book: PipedLedger) -> None:
    customers = [Customer(options.run_id, number, accounts) for number in range(options.customers)]
    ways = [(Door.parse(options.door), book), (Door.parse(options.other), None)]

    async def turn(way: int, seconds: float) -> int:
        until_ns = time.monotonic_ns() + int(seconds * 1e9)
        door, its_book = ways[way]
        return sum(await asyncio.gather(*(customer.pay(door, until_ns, its_book) for customer in customers)))

    for way in (0, 1):
        await turn(way, WARM_UP_S)
    for number in range(options.turns):
        seen = {way: await turn(way, options.turn_s) for way in ((0, 1) if number % 2 else (1, 0))}
        print(json.dumps([seen[0], seen[1]]), flush=True)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--door", required=True)
    parser.add_argument("--other", required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--run-id", required=True)
    parser.add_argument("--turns", type=int, default=50)
    parser.add_argument("--turn-s", type=float, default=0.5)
    parser.add_argument("--customers", type=int, default=8)
    options = parser.parse_args(argv)
    accounts = Door.parse(options.door).accounts(timeout_s=3, patience_s=ACCOUNTS_ASKED_WITHIN_S)
    book = PipedLedger(options.out / f"{options.run_id}.csv")
    asyncio.run(take_turns(options, accounts, book))
    book.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
