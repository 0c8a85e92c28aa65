"""A site that is gone, disks and all: what the fault says of itself, and what new servers are given. By values alone."""

from __future__ import annotations

import pytest

from faults import build
from faults.site_destroyed import SiteDestroyed
from judging.evidence import Targets
from runtime import nodes
from runtime.restoring import not_restorable
from runtime.server import archiving
from tests.test_managers import addresses_of
from topologies.model import Effect
from topologies.single_center import single_center
from topologies.two_region_three_center import two_region_three_center

TOPOLOGY = single_center()
SITE = ("site-a", "site-b", "site-haproxy", "site-bank")


def test_everything_of_the_site_is_down_and_destroyed_and_nothing_else() -> None:
    effect = SiteDestroyed("site").effect(TOPOLOGY)
    assert effect.down == effect.destroyed == SITE
    assert set(effect.cut) == {"site->vault", "vault->site", "door->site"}
    assert effect.to_json()["destroyed"] == list(SITE)
    assert "destroyed" not in Effect(down=("site-a",)).to_json()  # what other faults write stays as it was


@pytest.mark.parametrize(
    ("center", "topology", "told"),
    [
        ("vault", TOPOLOGY, "expected databases in vault with a repository in another center"),
        ("dc1", two_region_three_center(), "expected a center without a store's member; seen dc1-etcd"),
        ("dc1", two_region_three_center(manager="by-hand"), "repository in another center; seen repositories of: none"),
    ],
)
def test_what_could_never_be_made_anew_is_not_destroyed(center: str, topology: object, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        SiteDestroyed(center).effect(topology)  # type: ignore[arg-type]


def test_there_has_to_be_such_a_center() -> None:
    with pytest.raises(KeyError, match="no center 'moon'"):
        SiteDestroyed("moon").effect(TOPOLOGY)
    assert not_restorable(TOPOLOGY, TOPOLOGY.center("site")) is None


def test_it_is_built_again_from_its_record() -> None:
    again = build("SiteDestroyed", SiteDestroyed("site").arguments)
    assert again.effect(TOPOLOGY) == SiteDestroyed("site").effect(TOPOLOGY)
    assert "newest backup" in again.undo()


def test_servers_archive_to_the_vault_and_others_archive_nothing() -> None:
    parameters, backup = archiving(TOPOLOGY, TOPOLOGY.group("bank"))
    assert parameters["archive_timeout"] == "10s"
    assert "repo1-sftp-host=vault-repository\n" in backup
    found = nodes.program(addresses_of(TOPOLOGY), TOPOLOGY.node("site-a"))
    assert "archive_mode = 'on'" in found.environment["CONFIG"]
    assert found.environment["BACKUP"] == backup
    other = two_region_three_center(manager="by-hand")
    assert archiving(other, other.group("region-a")) == ({}, "")
    assert "BACKUP" not in nodes.program(addresses_of(other), other.node("dc1-a")).environment


def test_the_repository_keeps_what_it_is_given_on_a_disk_of_its_own() -> None:
    found = nodes.program(addresses_of(TOPOLOGY), TOPOLOGY.node("vault-repository"))
    assert found.command == ("repository",)
    assert found.volume == "/var/lib/pgbackrest"


def test_a_setting_that_has_no_repository_to_go_with_is_refused() -> None:
    with pytest.raises(ValueError, match="manager: expected one of by-hand; seen 'patroni'"):
        single_center(manager="patroni")


def test_the_target_for_what_is_lost_is_the_archive_time_out() -> None:
    from drills.site_destroyed import TARGETS

    assert isinstance(TARGETS, Targets)
    assert TARGETS.rpo_s is not None
    assert TARGETS.rpo_s > TOPOLOGY.settings["archive_timeout_s"]
    assert TARGETS.lost_transactions is None
