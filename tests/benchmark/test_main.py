"""The list of commands, and that it costs nothing to see it."""

import subprocess
import sys

import pytest

from benchmark.__main__ import COMMANDS, load


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_says_of_itself_what_the_list_says(name):
    command = load(name)
    assert command.name == name
    assert command.help.strip().splitlines()[0] == COMMANDS[name].about


@pytest.mark.parametrize("typed", [("--help",), ("rnu",), ()])
def test_the_list_and_a_typo_load_nothing_large(typed):
    code = (
        "import sys\n"
        "from benchmark.__main__ import main\n"
        "try:\n"
        "    main()\n"
        "except SystemExit:\n"
        "    print(sorted({'torch', 'pandas', 'scipy', 'sklearn', 'matplotlib'} & sys.modules.keys()))\n"
    )
    done = subprocess.run([sys.executable, "-c", code, *typed], capture_output=True, text=True, check=True)  # noqa: S603
    assert done.stdout.splitlines()[-1] == "[]", done.stderr


def test_a_typo_among_names_is_told_before_pictures_and_statistics_are_loaded():
    code = (
        "import sys\n"
        "from benchmark.__main__ import main\n"
        "try:\n"
        "    main()\n"
        "except SystemExit as end:\n"
        "    assert end.code == 2\n"
        "    print(sorted({'scipy.stats', 'sklearn', 'matplotlib'} & sys.modules.keys()))\n"
    )
    typed = ("run", "smoke", "--method", "gradeint")
    done = subprocess.run([sys.executable, "-c", code, *typed], capture_output=True, text=True, check=True)  # noqa: S603
    assert done.stdout.splitlines()[-1] == "[]", done.stderr
    assert "Did you mean 'gradient'?" in done.stderr
