"""Whether a center is reached, asked while its machines die: an engine that is busy has not noticed yet."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import docker.errors
import pytest

from runtime.cluster import Cluster, Ran


@pytest.mark.parametrize("dead", ["near", "far"])
def test_nothing_is_carried_by_who_died_a_moment_ago(dead: str) -> None:
    """The engine said that it runs, and then refused to start anything in it: 409 Conflict."""

    def execute(name: str, *_: Any, **__: Any) -> Ran:
        if name == dead:
            raise docker.errors.APIError("409 Client Error: Conflict (container is not running)")
        return Ran(0, "")

    cluster = cast(Any, SimpleNamespace(somebody={"one": "near", "other": "far"}.get, machine=lambda _: None, execute=execute))
    assert Cluster.carries(cluster, "one", "other") is False
