"""Signs of life, of real processes where they are stopped and killed, and how the supervisor counts silence."""

import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from gipo.engines.asynchronous.processes import Process
from gipo.engines.asynchronous.watchdog import Heartbeat, Watch, kill, last_words

ALIVE = """
import sys, time
from pathlib import Path
from gipo.engines.asynchronous.processes import Process
from gipo.engines.asynchronous.watchdog import Heartbeat
Heartbeat.EVERY = 0.05
heartbeat = Heartbeat(Process(Path(sys.argv[1]), "rollout-0", 1))
with heartbeat.watch("door-open-v3, reset", 600):
    pass
"""
HANGS = """
with heartbeat.watch("door-open-v3, step 2 of an episode", 0.5):
    time.sleep(600)
"""
STANDS_STILL = """
import ctypes
with heartbeat.watch("door-open-v3, step 2 of an episode", 600):
    ctypes.PyDLL(None).sleep(600)  # in C, with the interpreter's lock
"""


class Clock:
    """Time that passes when it is told to."""

    now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def process(tmp_path):
    return Process(tmp_path, "rollout-0", 1)


@pytest.fixture
def start(process):
    started = []

    def start(script):
        started.append(subprocess.Popen([sys.executable, "-c", ALIVE + script, str(process.folder)]))
        wait_for(process.beat.exists)
        return started[0]

    yield start
    for each in started:
        each.kill()
        each.wait()


def wait_for(condition):
    while not condition():
        time.sleep(0.02)


def beats(process, seconds=1.0):
    """Whether there is a sign of life within so many seconds."""
    before, end = process.beat.stat().st_mtime_ns, time.monotonic() + seconds
    while time.monotonic() < end:
        if process.beat.stat().st_mtime_ns != before:
            return True
        time.sleep(0.02)
    return False


def test_a_process_that_waits_is_not_silent(start, process):
    start("time.sleep(600)")
    assert beats(process, 60)
    assert last_words(process) == ""


@pytest.mark.parametrize("script", [HANGS, STANDS_STILL])
def test_one_whose_work_takes_too_long_or_that_holds_the_interpreter_falls_silent(start, process, script):
    start(script)
    wait_for(lambda: not beats(process))
    assert last_words(process) == "door-open-v3, step 2 of an episode"


def test_a_stopped_process_is_silent_and_is_killed_for_certain(start, process):
    one = start("time.sleep(600)")
    one.send_signal(signal.SIGSTOP)
    wait_for(lambda: not beats(process))
    kill(process)
    assert one.wait() == -signal.SIGKILL


def test_only_the_process_itself_is_killed(start, process):
    one = start("time.sleep(600)")
    host, pid, born = process.beat.read_text().split()
    for stranger in (f"elsewhere {pid} {born}", f"{host} {pid} {int(born) + 1}", "", f"{host} {pid}"):
        process.beat.write_text(stranger)
        kill(process)
    assert one.poll() is None


def watched(tmp_path, *roles):
    clock = Clock()
    watch = Watch(tmp_path, clock)
    processes = [Process(tmp_path, role, 1) for role in roles]
    for process in processes:
        watch.begin(process)
    return watch, clock, processes


def look(watch, clock, seconds, *living, step=1.0):
    """Looks once a step, while these give signs of life; who was silent for too long at the end."""
    silent = watch.silent()
    for number in range(int(seconds / step)):
        clock.now += step
        for process in living:
            process.beat.touch()
            os.utime(process.beat, ns=(0, time.time_ns() + number))
        silent = watch.silent()
    return silent


def test_who_is_silent_for_too_long_hangs_and_who_lives_does_not(tmp_path):
    watch, clock, (dead, living) = watched(tmp_path, "replay", "inference")
    assert look(watch, clock, 3, dead, living) == []
    assert look(watch, clock, Watch.SILENCE, living) == []
    assert look(watch, clock, 1, living) == [dead]


def test_a_process_has_longer_for_its_first_sign_of_life(tmp_path):
    watch, clock, (process,) = watched(tmp_path, "learner")
    assert look(watch, clock, Watch.START) == []
    assert look(watch, clock, 1) == [process]


def test_a_simulator_may_hold_the_interpreter_as_long_as_a_call_may_take(tmp_path):
    watch, clock, (process,) = watched(tmp_path, "rollout-0")
    watch.begin(process, 2 * Watch.SILENCE)
    look(watch, clock, 1, process)
    assert look(watch, clock, 2 * Watch.SILENCE) == []
    assert look(watch, clock, 1) == [process]


def test_a_machine_that_slept_blames_nobody(tmp_path):
    watch, clock, processes = watched(tmp_path, "replay", "learner")
    assert look(watch, clock, 3, *processes) == []
    assert look(watch, clock, 36000, step=3600) == []
    assert look(watch, clock, 3, *processes) == []


def test_who_is_watched_no_more_does_not_hang(tmp_path):
    watch, clock, (process,) = watched(tmp_path, "replay")
    look(watch, clock, 1, process)
    watch.end(process)
    assert look(watch, clock, 2 * Watch.SILENCE) == []


def test_work_that_goes_on_may_take_long(process, monkeypatch):
    monkeypatch.setattr(Heartbeat, "EVERY", 0.02)
    heartbeat = Heartbeat(process)
    with heartbeat.watch("the evaluation at update 0", 0.5):
        for _ in range(10):
            heartbeat.renew("the evaluation at update 0", 0.5)
            time.sleep(0.1)
            assert beats(process, 60)
        wait_for(lambda: not beats(process))
    assert beats(process, 60)
    assert threading.active_count() > 1
