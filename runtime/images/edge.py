"""An edge: takes customers far from the center, and authorises small payments by itself while it is cut off.

While the center answers, a payment is passed on as it is, and the center's answer is the customer's. When no word of the center
has come for PATIENCE_MS, or it answers that it can't tell or can't write, a payment of at most LIMIT_MINOR is stored here and
synced, and answered 201, as long as its debit account owes at most ACCOUNT_LIMIT_MINOR to what is not forwarded yet. Another one
is refused at once: 503, certainly not committed; 500, unknown, where it had been passed on before. What is stored is forwarded
in order, with the same key, until the center has answered: it stands there once, whether or not it had been committed before.

GET /payments/{key} is answered from what is stored here, by the center, or by the other edges, which may hold it: 404 only when
all of them were asked, and 503 when one of them can't be. GET /held/{key} is what edges ask each other. GET /accounts and
/accounts/{id} are the center's to answer. GET /ready: 200, with what is not forwarded yet.

Environment: EDGE (this center's name), CENTER and PEERS (host:port, several with commas between), and the limits above.
"""

import asyncio
import concurrent.futures
import contextlib
import json
import os
import time
from functools import partial
from urllib.parse import quote

import uvicorn
from edge_store import Payment, Store
from starlette.applications import Starlette
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

EDGE = os.environ["EDGE"]
PEERS = [peer for peer in os.environ["PEERS"].split(",") if peer]
LIMIT_MINOR, ACCOUNT_LIMIT_MINOR = int(os.environ["LIMIT_MINOR"]), int(os.environ["ACCOUNT_LIMIT_MINOR"])
PATIENCE_S = int(os.environ["PATIENCE_MS"]) / 1000
FILE = "/var/lib/edge/edge.db"
BEAT_S = 0.2
ANSWER_S = 2.5  # the bank itself answers within 2 s that it can't tell
FORWARDED_AT_ONCE = 6  # forwarded beside each other: two edges leave a quarter of the bank to what customers pay meanwhile
IDLE_CONNECTIONS_MAX = 16
ANSWERED = (200, 201, 409, 422)  # the center's word on a payment; whatever else it says, it has not decided


class NotSent(Exception):
    """No connection could be had: nothing was sent."""


class Silent(Exception):
    """It was sent, and no answer came."""


class Remote:
    """HTTP to one host on connections that are kept; nothing is ever sent twice."""

    def __init__(self, address):
        self.host, self.port = address.split(":")
        self.idle = []

    async def connect(self):
        while self.idle:
            reader, writer = self.idle.pop()
            if not (reader.at_eof() or writer.is_closing()):
                return reader, writer
            writer.close()
        return await asyncio.open_connection(self.host, int(self.port))

    async def exchange(self, connection, method, path, body=b"", headers=()):
        reader, writer = connection
        lines = [f"{method} {path} HTTP/1.1", f"Host: {self.host}", f"Content-Length: {len(body)}", *headers]
        try:
            writer.write(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + body)
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
            length = next(int(line.partition(":")[2]) for line in head.split("\r\n") if line.startswith("content-length:"))
            answer = await reader.readexactly(length)
        except BaseException:
            writer.close()
            raise
        if len(self.idle) < IDLE_CONNECTIONS_MAX and "connection: close" not in head:
            self.idle.append(connection)
        else:
            writer.close()
        return int(head.split(" ", 2)[1]), answer

    def forget(self):
        """Connections from before a cut may lead nowhere."""
        while self.idle:
            self.idle.pop()[1].close()


class Center:
    """The center as it is heard from here. `cut_off` until it was heard for the first time."""

    def __init__(self, address):
        self.remote = Remote(address)
        self.heard_at = float("-inf")
        self.back = asyncio.Event()  # set: not cut off
        self.lost = asyncio.get_running_loop().create_future()  # done when it is lost: nobody waits any longer then

    @property
    def cut_off(self):
        return not self.back.is_set()

    async def ask(self, method, path, body=b"", headers=(), *, within_s=ANSWER_S):
        """The answer: (status, body). NotSent, or Silent where it may have been received."""
        connection = await self.unless_lost(self.remote.connect(), within_s, NotSent)
        return await self.unless_lost(self.remote.exchange(connection, method, path, body, headers), within_s, Silent)

    async def unless_lost(self, work, within_s, otherwise):
        task = asyncio.create_task(work)
        await asyncio.wait({task, self.lost}, timeout=within_s, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            task.cancel()
            raise otherwise("no word of the center in time")
        try:
            return task.result()
        except (OSError, EOFError, ValueError, StopIteration, RuntimeError, asyncio.LimitOverrunError) as error:
            raise otherwise(f"{type(error).__name__}: {error}") from error

    async def pay(self, payment):
        """The center's word on a payment, (status, body); raises as `ask` does, and Silent where it can't tell.

        What a cut line holds back would arrive up to a minute later, when its customer has long been told something else.
        """
        body = {"debit": payment.debit, "credit": payment.credit, "amount_minor": payment.amount_minor}
        headers = [
            "Content-Type: application/json",
            f"Idempotency-Key: {payment.key}",
            f"Not-After: {time.time() + ANSWER_S:.3f}",
        ]
        status, answer = await self.ask("POST", "/payments", json.dumps(body).encode(), headers)
        if status in ANSWERED:
            self.heard_at = time.monotonic()
            return status, answer
        raise (NotSent if status == 503 else Silent)(f"the center answered {status}")  # 503: certainly not committed

    async def beat(self, heard):
        """Asks the center over and over whether it can write; `heard` is called when it is back, before anything is forwarded."""
        while True:
            began, why = time.monotonic(), "it can't write"
            try:
                status, _ = await self.ask("GET", "/ready", within_s=PATIENCE_S)
                if status == 200:
                    self.heard_at = time.monotonic()
                    if self.cut_off:
                        await heard()
                        self.back.set()
            except (NotSent, Silent) as error:
                why = str(error)
            except Exception as error:  # an edge that no longer asks would be cut off for good
                print(f"edge: {type(error).__name__}: {error}", flush=True)
            if not self.cut_off and time.monotonic() - self.heard_at > PATIENCE_S:
                self.lose(why)
            await asyncio.sleep(max(0.0, began + BEAT_S - time.monotonic()))

    def lose(self, why):
        print(f"edge: cut off from the center: {why}", flush=True)
        self.back.clear()
        self.remote.forget()
        lost, self.lost = self.lost, asyncio.get_running_loop().create_future()
        lost.set_result(None)


class Edge:
    def __init__(self):
        self.store = Store(FILE)
        self.center = Center(os.environ["CENTER"])
        self.peers = [Remote(peer) for peer in PEERS]
        self.thread = concurrent.futures.ThreadPoolExecutor(1)  # all that writes, one after the other
        self.wanted = asyncio.Queue()  # payments to be stored, each with who waits for it
        self.stored = asyncio.Event()
        self.tasks = [asyncio.create_task(work) for work in (self.center.beat(self.hear), self.write(), self.forward())]

    async def in_thread(self, work, *arguments, **more):
        return await asyncio.get_running_loop().run_in_executor(self.thread, partial(work, *arguments, **more))

    async def hear(self):
        print(f"edge: hears the center, {self.store.unforwarded()} payments to forward", flush=True)
        status, answer = await self.center.ask("GET", "/accounts")
        if status == 200:
            await self.in_thread(self.store.know, json.loads(answer))

    async def authorise(self, payment):
        """What became of it here; `over` above a limit, or of an account that the center has not told of."""
        if payment.amount_minor > LIMIT_MINOR or not self.store.knows(payment.debit, payment.credit):
            return "over"
        waiting = asyncio.get_running_loop().create_future()
        self.wanted.put_nowait((payment, waiting))
        return await waiting

    async def write(self):
        """All that wait at the same time are stored at one sync."""
        while True:
            batch = [await self.wanted.get()]
            while not self.wanted.empty():
                batch.append(self.wanted.get_nowait())
            try:
                payments = [payment for payment, _ in batch]
                outcomes = await self.in_thread(self.store.authorise, payments, account_limit_minor=ACCOUNT_LIMIT_MINOR)
                for (_, waiting), outcome in zip(batch, outcomes, strict=True):
                    waiting.set_result(outcome)
                self.stored.set()
            except Exception as error:  # nobody is told yes, and the next are tried
                for _, waiting in batch:
                    waiting.done() or waiting.set_exception(error)

    async def forward(self):
        """In order, a few beside each other; the next ones when each of them has the center's answer."""
        while True:
            await self.center.back.wait()
            self.stored.clear()
            payments = self.store.next(FORWARDED_AT_ONCE)
            if not payments:
                await self.stored.wait()
                continue
            said = await asyncio.gather(*(self.center.pay(one) for one in payments), return_exceptions=True)
            answered = [(one.key, word[0]) for one, word in zip(payments, said, strict=True) if isinstance(word, tuple)]
            try:
                await self.in_thread(self.store.settle, answered)
            except Exception as error:  # they are forwarded again, and the center says so
                print(f"edge: what the center answered could not be stored: {error}", flush=True)
            for key, status in answered:
                if status not in (200, 201):
                    print(f"edge: the center refused {key}, which was authorised here: {status}", flush=True)
            if len(answered) < len(payments):
                await asyncio.sleep(BEAT_S)

    async def held_by_peers(self, key):
        """The answer of an edge that holds it; None: no other edge does. Raises where one of them can't be asked."""

        async def ask(peer):
            async with asyncio.timeout(PATIENCE_S):
                return await peer.exchange(await peer.connect(), "GET", f"/held/{quote(key, safe='')}")

        for status, text in await asyncio.gather(*(ask(peer) for peer in self.peers)):
            if status == 200:
                return text
            if status != 404:
                raise OSError(f"another edge answered {status}")
        return None


edge: Edge


def answer(status, **body):
    return JSONResponse(body, status_code=status)


def passed(status, text):
    return Response(text, status_code=status, media_type="application/json")


def of_store(held):
    """A payment that is stored here. The center's refusal of one that was authorised is for people to settle."""
    payment, authorised_at, status = held
    refused = status not in (None, 200, 201)
    more = {"error": f"authorised at the edge, and the center refused it: {status}"} if refused else {}
    return answer(409 if refused else 200, **payment._asdict(), authorised_at=authorised_at, edge=EDGE, **more)


def read_payment(key, body):
    """The payment, or a ValueError that says what was expected."""
    if not 0 < len(key) <= 200:
        raise ValueError("expected the header Idempotency-Key with 1 to 200 characters")
    if not isinstance(body, dict):
        raise ValueError("expected a JSON object")
    debit, credit, amount = body.get("debit"), body.get("credit"), body.get("amount_minor")
    if not isinstance(debit, str) or not isinstance(credit, str) or debit == credit:
        raise ValueError("expected two different account ids, debit and credit")
    if isinstance(amount, bool) or not isinstance(amount, int) or not 0 < amount < 2**53:
        raise ValueError("expected amount_minor, a whole number of minor units above 0")
    return Payment(key, debit, credit, amount)


async def pay(request):
    try:
        payment = read_payment(request.headers.get("idempotency-key", ""), await request.json())
    except ValueError as error:
        return answer(422, error=str(error))
    if (held := edge.store.held(payment.key)) is not None:
        return of_store(held) if held.payment == payment else answer(409, key=payment.key, outcome="conflict", edge=EDGE)
    doubtful = False
    if not edge.center.cut_off:
        try:
            return passed(*await edge.center.pay(payment))
        except NotSent:
            pass
        except Silent:
            doubtful = True
    outcome = await edge.authorise(payment)
    if outcome != "over":
        statuses = {"authorised": 201, "again": 200, "conflict": 409}
        return answer(statuses[outcome], key=payment.key, outcome=f"{outcome}, at the edge", edge=EDGE)
    if doubtful:
        return answer(500, error="unknown whether it was committed: the center did not answer", edge=EDGE)
    return answer(503, error="not committed: the center can't be reached, and an edge does not authorise it alone", edge=EDGE)


async def get_payment(request):
    key = request.path_params["key"]
    if (held := edge.store.held(key)) is not None:
        return of_store(held)
    found = None
    try:
        if not edge.center.cut_off:
            found = await edge.center.ask("GET", f"/payments/{quote(key, safe='')}")
    except (NotSent, Silent):
        pass
    if found is not None and found[0] == 200:
        return passed(*found)
    # Whoever was told yes by an edge must find it again: only who asked everybody who may hold it can say that it is not there.
    try:
        if (text := await edge.held_by_peers(key)) is not None:
            return passed(200, text)
    except Exception as error:
        return answer(503, error=f"cannot tell: another edge may hold it and can't be asked: {type(error).__name__}: {error}")
    if found is not None and found[0] == 404:
        return passed(*found)
    return answer(503, error="cannot tell: no edge holds it, and the center can't be asked")


async def get_held(request):
    held = edge.store.held(request.path_params["key"])
    return answer(404, error="not held here") if held is None else of_store(held)


async def of_center(request):
    if edge.center.cut_off:
        return answer(503, error="cannot read now: cut off from the center")
    try:
        return passed(*await edge.center.ask("GET", quote(request.url.path)))
    except (NotSent, Silent) as error:
        return answer(503, error=f"cannot read now: {error}")


async def ready(_request):
    store = edge.store
    return answer(200, edge=EDGE, cut_off=edge.center.cut_off, unforwarded=store.unforwarded(), synchronous=store.synchronous)


@contextlib.asynccontextmanager
async def lifespan(_app):
    global edge
    edge = Edge()
    print(f"edge: started, {edge.store.unforwarded()} payments to forward", flush=True)
    yield
    for task in edge.tasks:
        task.cancel()


app = Starlette(
    routes=[
        Route("/payments", pay, methods=["POST"]),
        Route("/payments/{key:path}", get_payment),
        Route("/held/{key:path}", get_held),
        Route("/accounts", of_center),
        Route("/accounts/{id}", of_center),
        Route("/ready", ready),
    ],
    lifespan=lifespan,
)

if __name__ == "__main__":
    uvicorn.run(app, host="0.0.0.0", port=8080, log_level="warning", access_log=False, timeout_keep_alive=60)
