"""What lies ready to be done at one stroke: rules for networks and processes to kill, in the hands of a process of its own."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from runtime import netfilter
from runtime.machine import Machine
from runtime.netfilter import Drop
from runtime.trigger import GO
from topologies.model import Moment

TRIGGER = Path(__file__).with_name("trigger.py")
DEAD_WITHIN_S = 10.0
TRIGGERED_WITHIN_S = DEAD_WITHIN_S + 10.0
Cut = tuple[Machine, Mapping[str, Sequence[Drop]]]  # in whose network, which tables


class StagedError(Exception):
    """What was staged could not be done; says what remained undone."""


class Staged:
    """Rules that the kernel has tried and not kept, and processes that are known. `act` once, or `close`.

    The process that will act ends with its input: when this object is closed, is garbage, or this program dies however it may.
    Raises OSError, NetfilterError or StagedError when something of it can't be had: then nothing has happened.
    """

    def __init__(self, cuts: Sequence[Cut], victims: Sequence[Machine]) -> None:
        with contextlib.ExitStack() as held:  # the process has descriptors of its own once it runs
            rules: list[tuple[int, str, int]] = []
            for machine, tables in cuts:
                kernel = held.enter_context(machine.socket(socket.AF_NETLINK, socket.SOCK_RAW, netfilter.NETLINK_NETFILTER))
                netfilter.rehearse(kernel, tables)
                acks = sum(len(drops) for drops in tables.values())
                rules.append((kernel.fileno(), netfilter.kept(netfilter.batch(tables)).hex(), acks))
            others: list[int] = []
            thaw: list[tuple[int, str]] = []
            for machine in victims:
                for fd in machine.processes():
                    held.callback(os.close, fd)
                    others.append(fd)
                if found := machine.thaw_fd():
                    held.callback(os.close, found[0])
                    thaw.append(found)
            self.victims = victims
            first = [machine.pidfd for machine in victims]
            plan = {
                "rules": rules,
                "first": first,
                "others": others,
                "thaw": thaw,
                "groups": [str(path) for machine in victims if (path := machine.threads()) is not None],
                "unlisted": [machine.pidfd for machine in victims if machine.threads() is None],
                "within_s": DEAD_WITHIN_S,
            }
            passed = [*(fd for fd, _, _ in rules), *first, *others, *(fd for fd, _ in thaw)]
            self.process = self.begin(plan, passed)

    def begin(self, plan: dict[str, Any], passed: list[int]) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", str(TRIGGER)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            pass_fds=passed,
            start_new_session=True,  # Ctrl-C is for the harness, which heals: the act is not to be cut in half
            bufsize=0,
        )
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(json.dumps(plan).encode() + b"\n")
            if process.stdout.readline() != b"ready\n":
                raise OSError("it did not get ready")
        except OSError as error:
            process.kill()
            _, said = process.communicate()
            raise StagedError(
                f"the process that would act ended: {said.decode(errors='replace').strip()[-300:] or error}"
            ) from error
        return process

    def act(self) -> Moment:
        """Do it now; returns when the kernel has confirmed every rule and no victim can run any more. Raises StagedError.

        What is left of the victims (memory to be given back, a write to be finished) may keep the kernel busy a little longer.
        """
        process = self.process
        assert process.stdin is not None
        assert process.stdout is not None
        for machine in self.victims:
            machine.killed = True
        try:
            process.stdin.write(GO)
            told = process.stdout.readline()
        except (OSError, ValueError) as error:  # ValueError: it was let go
            raise StagedError(f"the process that would act is gone: {error}") from error
        finally:
            self.close()  # also when we are interrupted: what heals must not begin before the act is over
        if not told:
            raise StagedError("the process that acts ended without a word")
        seen: dict[str, Any] = json.loads(told)
        if seen["error"]:
            raise StagedError(seen["error"])
        if seen["alive"]:
            raise StagedError(f"{seen['alive']} victims could still run after {DEAD_WITHIN_S:g} s")
        return Moment(seen["before_ns"], seen["after_ns"])

    def close(self) -> None:
        """Let go. What was not triggered until now never happens. Safe to call again."""
        process = self.process
        for pipe in (process.stdin, process.stderr):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()
        try:
            process.wait(TRIGGERED_WITHIN_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdout is not None:
            process.stdout.close()


class Deferred:
    """The same for whoever may hold no process: nothing is prepared, all is done when it is asked for."""

    def __init__(self, action: Callable[[], None]) -> None:
        self.action = action

    def act(self) -> Moment:
        before_ns = time.monotonic_ns()
        self.action()
        return Moment(before_ns, time.monotonic_ns())

    def close(self) -> None:
        """Nothing is held."""
