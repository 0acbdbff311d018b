"""The processes of a tree, as they are seen and ended from outside."""

import os
import subprocess
import sys

from launching import lives
from modelyard.trust.processes import ended_within, kill_tree, served_first, tree
from waiting import wait_until


def test_a_tree_is_seen_whole():
    code = "import os, time; os.fork(); os.fork(); print(flush=True); time.sleep(60)"
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.DEVNULL, start_new_session=True)
    try:
        wait_until(lambda: len(tree(child.pid)) == 4)
        assert os.getpid() not in tree(child.pid)
    finally:
        kill_tree(child)
        child.wait()


def test_no_more_is_looked_at_than_was_asked_for():
    code = "import os, time\nfor n in range(30): os.fork() or time.sleep(60)\ntime.sleep(60)"
    child = subprocess.Popen([sys.executable, "-c", code], start_new_session=True)
    try:
        wait_until(lambda: len(tree(child.pid)) == 31)
        assert 5 < len(tree(child.pid, 5)) <= 31
        pids = tree(child.pid)
    finally:
        kill_tree(child)
        child.wait()
    wait_until(lambda: not [pid for pid in pids if lives(pid)], 5)


def test_what_is_gone_has_no_tree():
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    assert tree(child.pid) == [child.pid]
    kill_tree(child)


def test_an_end_is_seen_at_once():
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    assert not ended_within(child, 0.05)
    child.communicate(b"\n")
    assert ended_within(child, 60)


def test_who_was_served_first_is_so_no_longer():
    before = os.sched_getscheduler(0)
    with served_first():
        if os.getuid() == 0:
            assert os.sched_getscheduler(0) & 0xFF == os.SCHED_RR
            policy = subprocess.run([sys.executable, "-c", "import os; print(os.sched_getscheduler(0))"],
                                    capture_output=True, text=True)  # fmt: skip
            assert policy.stdout.strip() == str(os.SCHED_OTHER)  # it is not handed down
    assert os.sched_getscheduler(0) == before
