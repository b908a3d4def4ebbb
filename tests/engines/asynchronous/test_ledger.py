"""The replay's books, at every moment at which their process may be killed."""

import asyncio
import sys

import numpy as np
import pytest

from asynchronous_study import make_spec
from gipo.engines.asynchronous import ledger as ledger_module
from gipo.engines.asynchronous.ledger import Ledger
from gipo.errors import GipoError


@pytest.fixture
def spec():
    return make_spec()


class KilledError(BaseException):
    """Stands for SIGKILL."""


def lines(work):
    """How many lines of the ledger's module run in ``work``, or KilledError before line ``at``."""

    def run(at=None):
        count = 0

        def trace(frame, event, _):
            nonlocal count
            if frame.f_code.co_filename != ledger_module.__file__:
                return None
            if event == "line":
                if count == at:
                    raise KilledError
                count += 1
            return trace

        before = sys.gettrace()
        sys.settrace(trace)
        try:
            work()
        finally:
            sys.settrace(before)
        return count

    return run


def test_a_kill_at_any_line_of_a_write_leaves_the_page_as_it_was(spec, tmp_path):
    def ledger(name):
        books = Ledger(tmp_path / name, spec)
        books.write(0, 2, [(3.0, True)], (0, 5, 1))
        books.write(2, 2, [(5.0, False)], (1, 6, 1))
        return books

    def write(books):
        return lambda: books.write(4, 2, [(1.0, True), (2.0, True)], (0, 5, 2))

    count = lines(write(ledger("whole")))()
    assert count > 8
    for at in range(count):
        with pytest.raises(KilledError):
            lines(write(ledger(f"{at}")))(at)
        again = Ledger(tmp_path / f"{at}", spec)
        again.check(4)
        assert again.counts(4) == {"episodes": 2, "episode_return": 4.0, "episode_success": 0.5}
        assert again.has(4, (0, 5, 1))
        assert not again.has(4, (0, 5, 2))
        again.write(4, 2, [(1.0, True), (2.0, True)], (0, 5, 2))
        assert again.counts(6)["episodes"] == 4
        assert again.has(6, (0, 5, 2))


def test_means_are_over_the_latest_episodes(spec, tmp_path):
    books = Ledger(tmp_path, spec)
    for number in range(30):
        books.write(number, 1, [(float(number), False)] * 7, (0, 1, number + 1))
    assert books.counts(30)["episodes"] == 210
    assert books.counts(30)["episode_return"] == pytest.approx(np.repeat(np.arange(30), 7)[-100:].mean())


def test_a_worker_that_was_replaced_is_not_heard_any_more(spec, tmp_path):
    books = Ledger(tmp_path, spec)
    books.write(0, 2, [], (1, 6, 3))
    assert books.has(2, (1, 5, 9))
    assert not books.has(2, (1, 7, 1))
    assert not books.has(2, (0, 1, 1))


def test_books_that_do_not_fit_are_refused_with_the_way_out(spec, tmp_path):
    books = Ledger(tmp_path / "scratch" / "replay", spec)
    books.write(0, 2, [], (0, 1, 1))
    with pytest.raises(GipoError, match=rf"delete {tmp_path}/scratch to make this run from update 0"):
        books.check(7)


def test_a_segment_that_is_sent_twice_is_stored_once(tmp_path):
    from gipo.engines.asynchronous.processes import Process
    from gipo.engines.asynchronous.replay import ReplayServer

    spec = make_spec(replay={"lifetime": None})
    server = ReplayServer(spec, tmp_path, tmp_path / "replay", Process(tmp_path / "processes", "replay", 1))
    shape = (2, spec.replay.segment_length)
    collected = {
        "observations": np.zeros((*shape, 39), np.float32),
        "tokens": np.zeros((*shape, 4), np.uint8),
        "log_probs": np.zeros((*shape, 4), np.float32),
        **{name: np.zeros(shape, np.float32) for name in ("rewards", "values", "successors")},
        **{name: np.zeros(shape, bool) for name in ("terminated", "truncated")},
        **{name: np.zeros((2, 39), np.float32) for name in ("final_observation", "cut_observation")},
        "versions": np.zeros(shape, np.int64),
    }

    async def send():
        for number in (1, 1, 2, 1):
            await server.append(collected, [(1.0, True)], (0, 5, number))

    asyncio.run(send())
    assert server.store.appended == 4
    assert server.ledger.counts(4)["episodes"] == 2
