"""Toxiproxy of one link, told through toxiproxy-python: proxies, their base latency, and what a fault adds to it.

The client keeps the address as class attributes, has no time-outs and takes most error statuses for answers. Here it is bound to
one link for the length of one act, its calls end after `TIMEOUT_S`, every error status is a LinkError, and what was done is asked
for again. See docs/decisions/0003-toxiproxy-client.md.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import requests
from toxiproxy import Proxy as Told
from toxiproxy import Toxiproxy, api

from runtime.links import LinkError, Proxy

API_PORT = 8474
TIMEOUT_S = 15.0  # a machine that starts twenty containers keeps one waiting
ADDED = "drillbook_added"
Ways = Mapping[tuple[str, str], float]  # by (source, target): one way


class _Bounded:
    """What the client calls instead of `requests`: with a time-out, and no answer that isn't one."""

    def __init__(self) -> None:
        self.session = requests.Session()
        self.session.trust_env = False  # a proxy setting of the host must not catch this

    def get(self, url: str, **more: Any) -> requests.Response:
        return self.call("GET", url, **more)

    def post(self, url: str, **more: Any) -> requests.Response:
        return self.call("POST", url, **more)

    def delete(self, url: str, **more: Any) -> requests.Response:
        return self.call("DELETE", url, **more)

    def call(self, method: str, url: str, **more: Any) -> requests.Response:
        try:
            answer = self.session.request(method, url, timeout=TIMEOUT_S, **more)
        except requests.RequestException as error:
            raise LinkError(f"Toxiproxy did not answer {method} {url}: {error}") from error
        if answer.status_code >= 400:
            raise LinkError(f"Toxiproxy refused {method} {url}: {answer.status_code} {answer.text.strip()[:200]}")
        return answer


_bounded = api.requests = _Bounded()
_one_link = threading.Lock()  # the client can talk to one at a time


class Toxics:
    """One link's Toxiproxy, by its address."""

    def __init__(self, address: str) -> None:
        self.address = address

    @contextmanager
    def told(self) -> Iterator[Toxiproxy]:
        """The client, bound to this link until the block ends."""
        with _one_link:
            server = Toxiproxy()
            server.update_api_consumer(self.address, API_PORT)
            yield server

    def version(self) -> str:
        """Asked without the client, so that a link that does not answer yet holds up no other."""
        return str(_bounded.get(f"http://{self.address}:{API_PORT}/version").json()["version"])

    def populate(self, wanted: Sequence[Proxy], latency_ms: Ways) -> None:
        """Make the proxies and their base latency. Raises LinkError where one of them is not there afterwards."""
        with self.told() as server:
            api.APIConsumer.post("/populate", json=[proxy.to_json() for proxy in wanted])
            seen = server.proxies()
            if missing := [proxy.name for proxy in wanted if proxy.name not in seen]:
                raise LinkError(f"expected {len(wanted)} proxies at {self.address}; missing {', '.join(missing)}")
            for proxy in wanted:
                for stream, way in ways(proxy):
                    if latency_ms[way] > 0:
                        add(seen[proxy.name], f"base_{stream}", stream, round(latency_ms[way]), 0)

    def set_latency(self, wanted: Sequence[Proxy], latency_ms: Ways) -> None:
        """Change the base latency of live connections, and read it back."""
        with self.told() as server:
            seen = server.proxies()
            for proxy in wanted:
                for stream, way in ways(proxy):
                    name, told = f"base_{stream}", seen[proxy.name]
                    wanted_ms = round(latency_ms[way])
                    if told.get_toxic(name) is None:
                        add(told, name, stream, wanted_ms, 0)
                    else:  # in place: a stream that lost its toxic for a moment might lose what it holds
                        attributes = {"latency": wanted_ms, "jitter": 0}
                        api.APIConsumer.post(f"/proxies/{proxy.name}/toxics/{name}", json={"attributes": attributes})
                    now = told.get_toxic(name)
                    if now is None or now.attributes["latency"] != wanted_ms:
                        seen_now = None if now is None else now.attributes
                        raise LinkError(f"{proxy.name} {stream}: expected {wanted_ms} ms; seen {seen_now}")

    def slow(self, wanted: Sequence[Proxy], path: str, latency_ms: int, jitter_ms: int) -> None:
        """More latency for whatever a directed path carries, on live connections too. Safe to run again."""
        with self.told() as server:
            seen = server.proxies()
            for proxy, stream in carried(wanted, path):
                if (name := f"{ADDED}_{stream}") in seen[proxy.name].toxics():
                    seen[proxy.name].destroy_toxic(name)
                add(seen[proxy.name], name, stream, latency_ms, jitter_ms)

    def unslow(self, wanted: Sequence[Proxy], path: str) -> None:
        """Undo `slow`. Safe to run again, and on a path that was never slow."""
        with self.told() as server:
            seen = server.proxies()
            for proxy, stream in carried(wanted, path):
                if (name := f"{ADDED}_{stream}") in seen[proxy.name].toxics():
                    seen[proxy.name].destroy_toxic(name)

    def slowed(self, wanted: Sequence[Proxy], path: str) -> list[tuple[int, int] | None]:
        """What `slow` has added to each stream of a path: latency and jitter in ms; None where it has added nothing."""
        found: list[tuple[int, int] | None] = []
        with self.told() as server:
            seen = server.proxies()
            for proxy, stream in carried(wanted, path):
                toxic = seen[proxy.name].get_toxic(f"{ADDED}_{stream}")
                found.append(None if toxic is None else (int(toxic.attributes["latency"]), int(toxic.attributes["jitter"])))
        return found


def add(proxy: Told, name: str, stream: str, latency_ms: int, jitter_ms: int) -> None:
    proxy.add_toxic(name=name, type="latency", stream=stream, attributes={"latency": latency_ms, "jitter": jitter_ms})


def ways(proxy: Proxy) -> tuple[tuple[str, tuple[str, str]], ...]:
    """Each stream of a proxy, with the way that it goes: the answers of those who were dialled go back."""
    return ("upstream", (proxy.source, proxy.target)), ("downstream", (proxy.target, proxy.source))


def carried(wanted: Sequence[Proxy], path: str) -> Iterator[tuple[Proxy, str]]:
    """The streams that go along a directed path."""
    source, target = path.split("->")
    for proxy in wanted:
        for stream, way in ways(proxy):
            if way == (source, target):
                yield proxy, stream
