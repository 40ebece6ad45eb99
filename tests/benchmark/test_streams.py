"""Words cost no work: streams that are closed, full or poor in letters, and what others print."""

import io
import os
import subprocess
import sys
import threading

import pytest

from benchmark.streams import Lenient, flush, heard, own_errors


class Broken(io.StringIO):
    """A stream that nobody reads any more."""

    def write(self, text):
        raise BrokenPipeError(32, "Broken pipe")


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "utf-8"])
def test_letters_that_are_lacking_become_question_marks(encoding):
    raw = io.BytesIO()
    stream = Lenient(io.TextIOWrapper(raw, encoding=encoding, newline=""))
    assert stream.write("RMSE ↓ 0.1 — σ") == 14
    stream.flush()
    shown = raw.getvalue().decode(encoding)
    assert shown == "RMSE ↓ 0.1 — σ".encode(encoding, "replace").decode(encoding)
    assert (stream.encoding, stream.errors, stream.writable()) == (encoding, "replace", True)


@pytest.mark.parametrize("stream", [None, Broken()])
def test_a_stream_that_is_gone_falls_silent(stream):
    lenient = Lenient(stream)
    assert lenient.write("one") == 3
    assert lenient.write("two") == 3
    lenient.flush()
    assert not lenient.isatty()
    with pytest.raises(io.UnsupportedOperation):
        lenient.fileno()


def test_a_closed_stream_falls_silent():
    stream = io.StringIO()
    stream.close()
    assert Lenient(stream).write("gone") == 4


def run(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)  # noqa: S603


def test_what_is_heard_is_not_shown_and_what_comes_after_is():
    done = run(
        "import os, sys, warnings\n"
        "from benchmark.streams import heard\n"
        "print('before', end=' ')\n"
        "with heard() as printed:\n"
        "    print('one')\n"
        "    os.write(2, b'two\\n')\n"
        "    warnings.warn('three')\n"
        "    os.system('echo four')\n"
        "print('after')\n"
        "print(repr(printed.text), file=sys.stderr)\n"
    )
    assert done.stdout == "before after\n"
    for words in ("one", "two", "three", "four"):
        assert words in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_what_is_heard_is_kept_where_the_block_raises_and_the_streams_come_back():
    done = run(
        "from benchmark.streams import heard\n"
        "try:\n"
        "    with heard() as printed:\n"
        "        print('lost')\n"
        "        raise KeyError\n"
        "except KeyError:\n"
        "    print('back')\n"
    )
    assert (done.stdout, done.stderr) == ("back\n", "")


def test_of_much_the_end_is_kept(capfd):
    with heard() as printed:
        os.write(1, b"x" * 100_000 + b"the end")
    assert printed.text.startswith("(80,007 bytes before are left out) … ")
    assert printed.text.endswith("xthe end")
    assert len(printed.text) < 21_000
    assert capfd.readouterr().out == ""


def test_of_several_threads_one_is_listened_to(capfd):
    inside, go_on = threading.Event(), threading.Event()
    found = {}

    def first():
        with heard() as printed:
            os.write(1, b"first ")
            inside.set()
            go_on.wait(10)
        found["first"] = printed.text

    thread = threading.Thread(target=first)
    thread.start()
    assert inside.wait(10)
    with heard() as printed:
        os.write(1, b"second ")
    go_on.set()
    thread.join()
    assert (found["first"], printed.text) == ("first second ", "")
    os.write(1, b"after")
    assert capfd.readouterr().out == "after"


def test_errors_of_ones_own_are_shown_while_others_are_heard():
    done = run(
        "from benchmark.streams import heard, own_errors\n"
        "own = own_errors()\n"
        "with heard():\n"
        "    print('heard')\n"
        "    own.write('shown')\n"
        "    own.flush()\n"
    )
    assert (done.stdout, done.stderr) == ("", "shown")


def test_where_there_are_no_files_errors_go_where_they_went(monkeypatch):
    shown = io.StringIO()
    monkeypatch.setattr(sys, "stderr", shown)
    own_errors().write("words")
    flush()
    assert shown.getvalue() == "words"
