"""The bank's payment service of one center: the door of the contract.

POST /payments answers 201 committed, 200 the same payment again, 409 key used for another payment, 422 bad input, 503 certainly
not committed, 500 unknown. GET /payments/{key}, GET /accounts, GET /accounts/{id}, GET /ready (200: a write was committed within
the last READY_FRESH_S seconds). Environment: CENTER, DATABASE (host:port of the center's balancer) and, where looks are answered
on this side, NEAREST (host:port of it, too: the databases of this center).

A payment with the header Not-After (seconds since 1970) that comes later than that is not committed: its sender has given it up,
and what a cut line had held back arrives up to a minute later. The front door sets it where the customer didn't.
"""

import asyncio
import contextlib
import os
import time

import asyncpg
import uvicorn
from admission import Places
from starlette.applications import Starlette
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

CENTER = os.environ["CENTER"]
HOST, PORT = os.environ["DATABASE"].split(":")
CONNECT_S = 1.0
# No free connection for this long: 503, nothing was sent. Below the service level by what a busy database takes for a payment:
# who waits longer is served too late to count. Not shorter: what a slow disk serves in bursts has to wait somewhere.
QUEUE_S = 0.75
ANSWER_S = 2.0  # no answer for this long: 500, unknown
READY_EVERY_S = 0.2
READY_FRESH_S = 2.0  # a disk that stalls for a second on a busy machine is no reason to close the door
POOL = 16
NEAREST = os.environ.get("NEAREST")
NEAREST_S = 0.5  # a look that this side's copies don't answer for so long is asked of the primary
LOGIN = {"host": HOST, "port": int(PORT), "user": "bank", "password": "bank", "database": "bank", "timeout": CONNECT_S}
# The server answered with an error of its own before any commit.
CERTAINLY_NOT_COMMITTED = (
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.SerializationError,
    asyncpg.DeadlockDetectedError,
    asyncpg.InsufficientResourcesError,
    asyncpg.InvalidTransactionStateError,
    asyncpg.DataError,
)


class NotSent(Exception):
    """No connection could be had: no statement was sent."""


class Kept(asyncpg.Connection):
    """A connection whose session nobody changes: the pool need not ask the server to reset it after every payment."""

    async def reset(self, *, timeout=None):
        pass


class Unreplicated(Exception):
    """The server committed locally and gave up waiting for its synchronous copies, and reports success all the same."""


async def ask(connection, query, *arguments):
    """One statement's value; Unreplicated where the server warned that its commit has no copy."""
    warnings = []

    def heard(_connection, message):
        warnings.append(str(message))

    connection.add_log_listener(heard)
    try:
        value = await connection.fetchval(query, *arguments)
    finally:
        if not connection.is_closed():
            connection.remove_log_listener(heard)  # the pool drops listeners at release, with a complaint
    if any("synchronous replication" in warning for warning in warnings):
        raise Unreplicated(warnings[0])
    return value


class Bank:
    def __init__(self):
        self.pool = None
        self.nearest = None  # connections to this side's databases; None: looks are asked of the primary
        self.places = Places(POOL, QUEUE_S)
        self.beat_at = float("-inf")
        self.why_not = "no write was tried yet"
        self.behind = set()  # statements that outlived their customers

    async def run(self, query, *arguments):
        """One statement's value. NotSent: no connection. TimeoutError after ANSWER_S: the statement goes on behind us,
        because a commit that is cancelled while it waits for its copies is committed here and nowhere else."""
        try:
            await self.places.enter()
        except TimeoutError:
            raise NotSent(f"no free connection within {QUEUE_S} s") from None
        try:
            connection = await self.pool.acquire(timeout=CONNECT_S)
        except BaseException as error:
            self.places.leave()
            if isinstance(error, Exception):
                raise NotSent(f"{type(error).__name__}: {error}") from error
            raise
        task = asyncio.create_task(self.finish(connection, query, arguments))
        done, _ = await asyncio.wait({task}, timeout=ANSWER_S)
        if done:
            return task.result()
        self.behind.add(task)
        task.add_done_callback(self.forget)
        raise TimeoutError(f"no answer from the database within {ANSWER_S} s")

    async def read_nearest(self, query, *arguments):
        """A value from this side's databases; None where they have none, or don't answer."""
        if self.nearest is None:
            return None
        with contextlib.suppress(Exception):
            async with asyncio.timeout(NEAREST_S), self.nearest.acquire() as connection:
                return await connection.fetchval(query, *arguments)
        return None

    def forget(self, task):
        self.behind.discard(task)
        task.cancelled() or task.exception()

    async def finish(self, connection, query, arguments):
        try:
            return await ask(connection, query, *arguments)
        except asyncpg.ReadOnlySQLTransactionError:
            connection.terminate()  # it leads to a standby now: the next connection finds the primary
            raise
        finally:
            try:
                with contextlib.suppress(Exception):
                    await self.pool.release(connection, timeout=1)
            finally:
                self.places.leave()

    async def beat(self):
        """Writes a heartbeat, over and over, on a connection of its own: the truth behind /ready."""
        connection = None
        while True:
            try:
                if connection is None or connection.is_closed():
                    connection = await asyncpg.connect(**LOGIN, server_settings={"application_name": f"beat-{CENTER}"})
                began = time.monotonic()
                work = connection.execute("SELECT beat($1)", CENTER)
                await asyncio.wait_for(work, ANSWER_S)
                self.beat_at = began
                if self.why_not:
                    print("bank: can write", flush=True)
                self.why_not = ""
            except Exception as error:  # a lost connection shows in many ways, and a bank that stops beating is closed for good
                if self.why_not != (why := f"{type(error).__name__}: {error}"):
                    print(f"bank: cannot write: {why}", flush=True)
                self.why_not = why
                if connection is not None:
                    connection.terminate()
                connection = None
            await asyncio.sleep(READY_EVERY_S)


bank = Bank()


def answer(status, **body):
    return JSONResponse(body, status_code=status)


def read_payment(body):
    """(debit, credit, amount), or a ValueError that says what was expected."""
    if not isinstance(body, dict):
        raise ValueError("expected a JSON object")
    debit, credit, amount = body.get("debit"), body.get("credit"), body.get("amount_minor")
    if not isinstance(debit, str) or not isinstance(credit, str) or debit == credit:
        raise ValueError("expected two different account ids, debit and credit")
    if isinstance(amount, bool) or not isinstance(amount, int) or not 0 < amount < 2**53:
        raise ValueError("expected amount_minor, a whole number of minor units above 0")
    return debit, credit, amount


def read_not_after(text):
    try:
        return float(text)
    except ValueError:
        raise ValueError("expected seconds since 1970 in the header Not-After") from None


async def pay(request):
    key = request.headers.get("idempotency-key", "")
    if not 0 < len(key) <= 200:
        return answer(422, error="expected the header Idempotency-Key with 1 to 200 characters")
    try:
        payment, until = read_payment(await request.json()), read_not_after(request.headers.get("not-after", "inf"))
    except ValueError as error:
        return answer(422, error=str(error))
    if time.time() > until:
        return answer(503, error="not committed: it arrived when its sender waited no longer")
    try:
        outcome = await bank.run("SELECT pay($1, $2, $3, $4, $5)", key, *payment, CENTER)
    except asyncpg.ForeignKeyViolationError:
        return answer(422, error="expected accounts that exist; see GET /accounts")
    except (NotSent, *CERTAINLY_NOT_COMMITTED) as error:
        return answer(503, error=f"not committed: {error}")
    except Exception as error:  # whatever else went wrong may have gone wrong after the commit
        return answer(500, error=f"unknown whether it was committed: {type(error).__name__}: {error}")
    return answer({"committed": 201, "again": 200, "conflict": 409}[outcome], key=key, outcome=outcome, center=CENTER)


async def look(query, *arguments):
    try:
        # What this side's copies don't know yet the primary may: nobody is told that a payment of theirs isn't there.
        text = await bank.read_nearest(query, *arguments) or await bank.run(query, *arguments)
    except Exception as error:
        return answer(503, error=f"cannot read now: {type(error).__name__}: {error}")
    return answer(404, error="not found") if text is None else Response(text, media_type="application/json")


async def get_payment(request):
    return await look("SELECT to_json(p)::text FROM payments p WHERE key = $1", request.path_params["key"])


async def get_account(request):
    query = "SELECT json_build_object('id', id, 'balance_minor', balance_minor)::text FROM accounts WHERE id = $1"
    return await look(query, request.path_params["id"])


async def get_accounts(_request):
    return await look("SELECT json_agg(id ORDER BY id)::text FROM accounts")


async def ready(_request):
    age = time.monotonic() - bank.beat_at
    if age <= READY_FRESH_S:
        return answer(200, center=CENTER)
    return answer(503, center=CENTER, error=bank.why_not)


async def connections(where, name):
    host, port = where.split(":")
    return await asyncpg.create_pool(
        **{**LOGIN, "host": host, "port": int(port)},
        min_size=0,
        max_size=POOL,
        connection_class=Kept,
        max_inactive_connection_lifetime=0,
        server_settings={"application_name": name},
    )


@contextlib.asynccontextmanager
async def lifespan(_app):
    bank.pool = await connections(os.environ["DATABASE"], f"bank-{CENTER}")
    if NEAREST:
        bank.nearest = await connections(NEAREST, f"looks-{CENTER}")
    beating = asyncio.create_task(bank.beat())
    yield
    beating.cancel()


app = Starlette(
    routes=[
        Route("/payments", pay, methods=["POST"]),
        Route("/payments/{key:path}", get_payment),
        Route("/accounts", get_accounts),
        Route("/accounts/{id}", get_account),
        Route("/ready", ready),
    ],
    lifespan=lifespan,
)

if __name__ == "__main__":
    uvicorn.run(app, host="0.0.0.0", port=8080, log_level="warning", access_log=False, timeout_keep_alive=60)
