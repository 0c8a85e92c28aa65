"""Who is served when more want to be than can: a fixed number at once, and of those who wait the newest first.

After a pause everybody comes at once, and for a while more is asked than the database can do. First come, first served would
then serve everybody at the end of what they wait, so nobody in time, for as long as it lasts. Newest first serves in time as many
as can be served at all, and refuses the rest, who may ask again ("adaptive LIFO": B. Maurer, Fail at Scale, ACM Queue 13 (8),
2015). With no queue both are the same.
"""

import asyncio


class Places:
    """`count` places; who finds none waits at most `within_s` seconds."""

    def __init__(self, count: int, within_s: float) -> None:
        self.free = count
        self.within_s = within_s
        self.waiting: list[asyncio.Future[None]] = []  # the newest last

    async def enter(self) -> None:
        """Takes a place, to be given back by `leave`. Raises TimeoutError when none came free in time."""
        if self.free:
            self.free -= 1
            return
        mine: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.waiting.append(mine)
        try:
            async with asyncio.timeout(self.within_s):
                await asyncio.shield(mine)
        except BaseException:
            if mine.done():  # a place came free in the moment of giving up
                self.leave()
            else:
                self.waiting.remove(mine)
            raise

    def leave(self) -> None:
        if self.waiting:
            self.waiting.pop().set_result(None)
        else:
            self.free += 1
