"""The window of requests grows with good ones and halves once for refusals that come together."""

from __future__ import annotations

import threading
import time

from hypothesis import given, settings
from hypothesis import strategies as st

from medsift.endpoint.window import AdaptiveWindow


def test_twenty_good_requests_let_in_one_more_up_to_the_most():
    window = AdaptiveWindow(most=10, first=8)
    for _ in range(19):
        window.succeeded()
    assert window.size == 8
    window.succeeded()
    assert window.size == 9
    for _ in range(200):
        window.succeeded()
    assert window.size == 10


def test_refusals_of_requests_that_were_under_way_together_halve_it_once():
    window = AdaptiveWindow(most=8)
    with window.place() as first, window.place() as second, window.place() as third:
        for begun in (first, second, third):
            window.refused(begun)
        assert window.size == 4
        with window.place() as later:
            window.refused(later)
    assert window.size == 2


@settings(deadline=None)
@given(st.lists(st.booleans(), max_size=300), st.integers(1, 20))
def test_it_stays_between_one_and_the_most(good, most):
    window = AdaptiveWindow(most)
    for one in good:
        with window.place() as begun:
            window.succeeded() if one else window.refused(begun)
        assert 1 <= window.size <= most


def test_no_more_are_under_way_than_it_allows():
    window = AdaptiveWindow(most=3)
    under_way, most_seen, lock = 0, 0, threading.Lock()

    def request():
        nonlocal under_way, most_seen
        with window.place():
            with lock:
                under_way += 1
                most_seen = max(most_seen, under_way)
            time.sleep(0.005)
            with lock:
                under_way -= 1

    threads = [threading.Thread(target=request) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most_seen == 3
