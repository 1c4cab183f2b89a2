"""A lease lets one writer in, outlives no killed holder, and trusts no machine's clock."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time

import pytest

from medsift.storage import lease as leases
from medsift.storage.lease import Lease, leased
from medsift.storage.open_store import open_store
from tests.expect import raises_code

HOLD = """
import sys, time
from medsift.storage.lease import leased
from medsift.storage.open_store import open_store
with leased(open_store(sys.argv[1]), "lease", wait=False, what="run", term=float(sys.argv[2])):
    print("taken", flush=True)
    time.sleep(60)
"""


@pytest.fixture(params=["folder", "bucket"])
def place(request, tmp_path) -> str:
    folder = request.param == "folder"
    return str(tmp_path / "store") if folder else request.getfixturevalue("bucket_url")


def lease_in(place: str, **settings) -> Lease:
    return Lease(open_store(place), "lease", **settings)


def from_elsewhere(place: str) -> Lease:
    """A lease of a holder on another machine, which this one cannot look at."""
    holder = lease_in(place)
    assert holder.take() is None
    note = json.loads(holder.store.read("lease").data) | {"host": "elsewhere", "process": None}
    holder.store.swap("lease", json.dumps(note).encode(), holder.version)
    holder.version = holder.store.read("lease").version
    return holder


def test_the_second_is_refused_and_waits_its_turn(place):
    order = []

    def second() -> None:
        with leased(open_store(place), "lease", wait=True, what="run"):
            order.append("second")

    with leased(open_store(place), "lease", wait=False, what="run"):
        with (
            raises_code("run_directory_busy"),
            leased(open_store(place), "lease", wait=False, what="run"),
        ):
            order.append("never")
        waiting = threading.Thread(target=second)
        waiting.start()
        time.sleep(0.2)
        order.append("first")
    waiting.join()
    assert order == ["first", "second"]


def test_of_many_that_ask_at_once_one_gets_it(place):
    asking = [lease_in(place) for _ in range(4)]
    start, answers = threading.Barrier(len(asking)), []

    def ask(lease: Lease) -> None:
        start.wait()
        answers.append(lease.take())

    threads = [threading.Thread(target=ask, args=(lease,)) for lease in asking]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers.count(None) == 1


def test_a_holder_that_was_killed_on_this_machine_is_followed_at_once(place):
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, place, "600"], stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout.readline() == "taken\n"
        assert lease_in(place).take() is not None
        holder.kill()
    assert lease_in(place).take() is None


def test_a_silent_holder_elsewhere_is_followed_after_its_term_and_notices(place):
    holder = from_elsewhere(place)
    early = lease_in(place, term=600.0)
    assert early.take()["host"] == "elsewhere"
    time.sleep(2.1)  # stores count whole seconds
    later = lease_in(place, term=1.0)
    assert later.take() is None
    holder.renew()
    with raises_code("lease_lost"):
        holder.check()
    later.check()


def test_a_holder_that_renews_is_never_followed(place):
    holder = from_elsewhere(place)
    for _ in range(4):
        time.sleep(0.8)
        holder.renew()
        # The renewed note says again that this process wrote it.
        holder.check()
        assert lease_in(place, term=2.0).take() is not None


def test_wrong_clocks_of_machines_change_nothing(place, monkeypatch):
    if place.startswith("/"):
        pytest.skip("a folder's clock is this machine's")
    from_elsewhere(place)
    for shift in (-1e7, 1e7):
        monkeypatch.setattr(leases.time, "time", lambda shift=shift: shift)
        assert lease_in(place).take() is not None


def test_a_lease_that_is_given_back_is_free(place):
    first = lease_in(place)
    assert first.take() is None
    first.give_back()
    second = lease_in(place)
    assert second.take() is None
    first.give_back()  # it is another's now
    assert lease_in(place).take()["token"] == second.token


def test_a_number_used_by_another_process_is_not_the_holder():
    own = leases._process(os.getpid())
    assert not leases._has_ended(own)
    assert leases._has_ended([*own[:3], "1"])
    assert not leases._has_ended(["another boot", *own[1:3], "1"])
    assert not leases._has_ended(None)
