"""Who of those who wait is served next, and that no place is lost."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from runtime.images.admission import Places

LONG_S = 60


async def turn() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def asking(places: Places, name: str, served: list[str]) -> asyncio.Task[None]:
    async def ask() -> None:
        await places.enter()
        served.append(name)

    return asyncio.create_task(ask())


def of_one_place(body: Callable[[Places], Awaitable[None]], within_s: float = LONG_S) -> None:
    """Runs the body with one place, which is taken."""

    async def everything() -> None:
        places: Places = Places(1, within_s)
        await places.enter()
        await body(places)

    asyncio.run(everything())


def test_the_newest_is_served_first() -> None:
    async def body(places: Places) -> None:
        served: list[str] = []
        tasks = []
        for name in ("first", "second", "third"):
            tasks.append(asking(places, name, served))
            await turn()
        for _ in tasks:
            places.leave()
            await turn()
        assert served == ["third", "second", "first"]

    of_one_place(body)


def test_who_found_none_in_time_is_told_and_takes_none() -> None:
    async def body(places: Places) -> None:
        with pytest.raises(TimeoutError):
            await places.enter()
        assert not places.waiting
        places.leave()
        assert places.free == 1

    of_one_place(body, within_s=0.01)


def test_a_place_that_comes_free_in_the_moment_of_giving_up_goes_to_the_next() -> None:
    async def body(places: Places) -> None:
        served: list[str] = []
        old = asking(places, "old", served)
        await turn()
        new = asking(places, "new", served)
        await turn()
        places.leave()  # the new one's
        new.cancel()
        await turn()
        assert new.cancelled()
        assert served == ["old"]
        assert old.done()
        places.leave()
        assert places.free == 1

    of_one_place(body)
