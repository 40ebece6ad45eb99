"""What is said of a run on its way, before there are results and after."""

import io

import pytest

from benchmark.events import Event
from benchmark.progress import Counts, Lines, Outlook, duration_text
from benchmark.store import Result


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


RESULT = Event(
    "result", n=1, result=Result(job={}, key="", status="done", method_version="1", targets="shapley")
)


def counts_of(n_jobs, *, cached=0, made=0):
    counts = Counts()
    counts.add(Event("begin", n=n_jobs))
    counts.add(Event("cached", n=cached))
    for _ in range(made):
        counts.add(RESULT)
    return counts


def outlook(expected, *, began=0.0, now):
    clock = Clock()
    found = Outlook(expected, clock)
    clock.now = began
    found.begin()
    clock.now = now
    return found


def test_before_the_first_result_the_estimate_counts_down_from_when_the_work_began():
    assert outlook(300.0, began=40.0, now=70.0).seconds_left(counts_of(888)) == 270.0
    assert outlook(300.0, began=40.0, now=500.0).seconds_left(counts_of(888)) == 0.0


def test_without_an_estimate_the_speed_so_far_is_all_there_is():
    # A quarter in 50 s: 150 s are left.
    assert outlook(None, now=50.0).seconds_left(counts_of(100, made=25)) == 150.0


def test_the_first_result_hardly_changes_the_estimate_and_the_last_replace_it():
    """The first result of 888 after 73 s would say 18 hours, where 5 minutes were expected."""
    first = outlook(300.0, now=73.0).seconds_left(counts_of(888, made=1))
    assert 300.0 - 73.0 < first < 300.0
    late = outlook(300.0, now=900.0).seconds_left(counts_of(100, made=90))
    assert late == pytest.approx(0.1 * 900 + 0.9 * 1000 - 900)


def test_what_was_there_does_not_count_as_speed():
    # 100 jobs, 60 were there: 10 of the other 40 in 20 s leave 60 s.
    assert outlook(None, now=20.0).seconds_left(counts_of(100, cached=60, made=10)) == 60.0


def test_an_estimate_that_proved_short_is_no_promise():
    assert outlook(10.0, now=50.0).seconds_left(counts_of(100, made=10)) > 0


def test_lines_come_every_half_minute_and_say_what_is_left():
    clock, out = Clock(), io.StringIO()
    lines = Lines(out, expected=300.0, clock=clock)
    lines(Event("begin", n=100))
    lines(Event("cached", n=0))
    clock.now = 10.0
    lines(RESULT)
    assert out.getvalue() == ""
    clock.now = 31.0
    lines(RESULT)
    lines(RESULT)
    assert out.getvalue() == "2 of 100 results (2 done), about 5 min left\n"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.2, "1 s"), (89, "89 s"), (300, "5 min"), (6000, "1.7 h"), (64800, "18 h"), (1e7, "2,778 h")],
)
def test_durations_are_no_more_precise_than_estimates(seconds, text):
    assert duration_text(seconds) == text
