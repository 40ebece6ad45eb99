import io
import json
from contextlib import closing
from dataclasses import replace

import pytest

from benchmark import progress
from benchmark.events import Event, Log
from benchmark.store import Result


def result(status="done", error=""):
    return Result(
        job={"scenario": "xor", "model": "oracle", "method": "lime", "data_seed": 2},
        key="0" * 32,
        status=status,
        method_version="1",
        targets="gradient",
        error=error,
        seconds=1.5,
    )


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_every_event_is_a_line_with_its_time(tmp_path):
    with closing(Log(tmp_path / "log.jsonl")) as log:
        log.write(Event("begin", n=9, facts={"command": "plumbline run"}))
        log.write(Event("result", n=1, result=result(), path=tmp_path / "results" / "a.json"))
    first, second = lines(tmp_path / "log.jsonl")
    assert (first["event"], first["n"], first["command"]) == ("begin", 9, "plumbline run")
    assert first["time"].endswith("+00:00")
    assert (second["status"], second["file"], second["method"]) == ("done", "a.json", "lime")
    assert "repeat" not in second


def test_a_failure_comes_with_its_reason_and_the_command_that_repeats_it(tmp_path):
    path = tmp_path / "results" / "a b.json"
    with closing(Log(tmp_path / "log.jsonl")) as log:
        log.write(Event("result", n=1, result=result("failed", "Traceback …\nKeyError: 'x'\n"), path=path))
    (line,) = lines(tmp_path / "log.jsonl")
    assert line["error"] == "KeyError: 'x'"
    assert line["repeat"] == f"plumbline repeat '{path}'"


def test_a_later_run_goes_on_with_the_log(tmp_path):
    for n in (1, 2):
        with closing(Log(tmp_path / "log.jsonl")) as log:
            log.write(Event("begin", n=n))
    assert [line["n"] for line in lines(tmp_path / "log.jsonl")] == [1, 2]


def test_a_log_that_cannot_be_written_stops_nothing(tmp_path, caplog):
    with closing(Log(tmp_path / "missing" / "log.jsonl")) as log:
        log.write(Event("end"))
        log.write(Event("end"))
    assert caplog.text.count("cannot be written") == 1


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


def test_plain_lines_come_now_and_then_with_the_time_that_is_left():
    out, clock = io.StringIO(), Clock()
    watch = progress.Lines(out, seconds=30, clock=clock)
    watch(Event("begin", n=100))
    watch(Event("prepare"))
    clock.now += 50  # fitting features is no measure of the work
    watch(Event("cached", n=20))
    for number in range(40):
        clock.now += 1
        status = "failed" if number == 3 else "done"
        watch(Event("result", n=1, result=replace(result(), status=status)))
    assert out.getvalue().splitlines() == [
        "21 of 100 results (20 cached, 1 done), about 79 s left",
        "51 of 100 results (20 cached, 30 done, 1 failed), about 49 s left",
    ]


def test_short_runs_stay_silent():
    out, clock = io.StringIO(), Clock()
    watch = progress.Lines(out, clock=clock)
    watch(Event("begin", n=2))
    watch(Event("cached", n=0))
    for _ in range(2):
        clock.now += 10
        watch(Event("result", n=1, result=result()))
    watch(Event("end", n=2))
    assert out.getvalue() == ""


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.2, "1 s"), (89, "89 s"), (91, "2 min"), (3600 * 2, "2.0 h"), (3600 * 50, "50 h")],
)
def test_a_time_is_told_in_the_unit_that_suits_it(seconds, text):
    assert progress.duration_text(seconds) == text
