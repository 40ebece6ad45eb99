"""LaTeX tables hold the numbers, the best in bold, and names as they stand, whatever they hold."""

import re
import shutil
import subprocess

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmark.report import latex

HOSTILE = "<script>$x_1$&%#\\"
CONTROLS = ("truth", "uniform")


def board():
    return pd.DataFrame(
        {
            "method": [HOSTILE, "lime", "[x]*", "truth", "uniform"],
            "targets": ["gradient", "shapley", "gradient", "control", "control"],
            "rmse": [0.00149, 0.0012, 0.25, 0.0, 0.363],
            "low": [0.0005, np.nan, 0.2, 0.0, 0.363],
            "high": [0.0031, np.nan, 0.3, 0.0, 0.363],
            "skill": [0.99, 0.998, -0.0361, 1.0, 0.0],
            "rbo": [1.0, 0.9, 0.5, 1.0, 0.778],
            "rmse_oracle": [np.nan] * 5,
            "model_calls": [2000.0, 1038000.0, 4000.0, 0.0, 0.0],
        }
    )


def rows_of(text):
    """Return the cells of every row, told apart at ampersands that are not escaped."""
    lines = [line.removesuffix(r" \\") for line in text.splitlines() if line.endswith(r" \\")]
    return [re.split(r" (?<!\\)& ", line) for line in lines]


def leaderboard(frame=None):
    frame = board() if frame is None else frame
    return latex.leaderboard_latex(frame, made_by="plumbline export a\n b", caption="C", label="tab:l")


# ---- names


def test_signs_are_escaped():
    assert latex.escape(HOSTILE) == r"\textless{}script\textgreater{}\$x\_1\$\&\%\#\textbackslash{}"
    assert latex.escape('[a]* {b} ~^|"`') == (
        r"{[}a{]}{*} \{b\} \textasciitilde{}\textasciicircum{}\textbar{}{\char34}\textasciigrave{}"
    )
    assert latex.escape("a--b\nc") == "a{-}{-}b c"
    # In the encoding T1, quotes would turn, and two commas would be one.
    assert latex.escape("a'b, c,,,d") == r"a\textquotesingle{}b, c{,}{,},d"


@given(st.text())
def test_whatever_a_name_holds_no_sign_of_latex_is_left(name):
    told = latex.escape(name)
    # What remains without the escapes has no meaning to LaTeX.
    for escaped in sorted((*latex._ESCAPES.values(), latex._COMMA), key=len, reverse=True):
        told = told.replace(escaped, "")
    assert not re.search(r"[\\{}$&#%_^~\[\]*\n\r\t]", told)


# ---- tables


def test_a_leaderboard_has_its_numbers_and_the_best_in_bold():
    rows = rows_of(leaderboard())
    head, first, second, third, truth, uniform = rows
    assert head[:5] == ["Method", "Targets", "RMSE", r"95\,\% interval", "Skill"]
    assert len(head) == 7  # a column without a number is left out
    assert first[0] == latex.escape(HOSTILE)
    # 0.00149 and 0.0012 look the same: neither is called worse.
    assert first[2:5] == [r"\textbf{0.001}", "0.001--0.003", "0.990"]
    assert second[2:5] == [r"\textbf{0.001}", "--", r"\textbf{0.998}"]
    assert third[4] == "$-$0.036"
    assert (first[5], second[5]) == (r"\textbf{1.000}", "0.900")
    assert [row[-1] for row in (first, second)] == [r"\textbf{2\,000}", r"1\,038\,000"]
    # Controls bound the table: they are never the best of it.
    assert not any("textbf" in cell for cell in (*truth, *uniform))
    assert all(len(row) == len(head) for row in rows)


def test_a_method_without_a_rank_has_a_dagger_and_is_never_the_best():
    rows = rows_of(leaderboard(board().assign(rank=[2.0, np.nan, 3.0, np.nan, np.nan])))
    _, first, second, _, truth, _ = rows
    assert second[0] == r"lime$^{\dagger}$"
    assert not any("textbf" in cell for cell in second)
    assert first[4] == r"\textbf{0.990}"
    assert truth[0] == "truth"
    text = leaderboard(board().assign(n_failed=[0, 1, 0, 0, 0], n_skipped=0))
    assert r"lime$^{\dagger}$ &" in text
    assert text.index(r"\end{tabular}") < text.index("no rank: not scored") < text.index(r"\end{table}")
    assert "dagger" not in leaderboard()
    values = pd.DataFrame({"gradient": [0.1, 0.2]}, index=["lime", "gradient"])
    text = matrix(values, without_rank=["lime"])
    assert rows_of(text)[1:] == [[r"lime$^{\dagger}$", "0.100"], ["gradient", r"\textbf{0.200}"]]
    assert "no rank" in text


def test_ranks_of_uninformative_cases_alone_are_never_the_best():
    rows = rows_of(leaderboard(board().assign(rbo_corrected=[np.nan, 0.6, -0.2, 1.0, 0.0])))
    assert [row[5] for row in rows[1:4]] == ["1.000", r"\textbf{0.900}", "0.500"]


def test_controls_stand_below_a_line():
    parts = leaderboard().split(r"\midrule")
    assert len(parts) == 3
    assert parts[2].lstrip().startswith("truth")


def test_the_command_stands_above_in_one_line():
    assert leaderboard().splitlines()[0] == "% Made by: plumbline export a  b"
    assert r"\usepackage{booktabs,graphicx,textcomp}" in leaderboard()


def test_no_intervals_no_column():
    assert "interval" not in leaderboard(board().assign(low=np.nan, high=np.nan))


def matrix(values, **options):
    return latex.matrix_latex(values, made_by="m", caption="C", label="tab:m", **options)


def test_a_matrix_has_the_best_in_bold_and_the_target_underlined():
    values = pd.DataFrame(
        {"gradient": [0.1, 0.2, 0.0], "sage": [0.4, np.nan, 0.0]}, index=["a", HOSTILE, "truth"]
    )
    text = matrix(values, controls=["truth"], targets={"a": "gradient", HOSTILE: "sage"})
    head, first, second, truth = rows_of(text)
    assert head == ["", r"\rotatebox{90}{gradient}", r"\rotatebox{90}{sage}"]
    assert first == ["a", r"\underline{\textbf{0.100}}", r"\textbf{0.400}"]
    assert second == [latex.escape(HOSTILE), "0.200", r"\underline{--}"]
    assert truth == ["truth", "0.000", "0.000"]


def test_the_best_of_a_row():
    values = pd.DataFrame({"hybrid": [0.1, 0.3], "late": [0.2, 0.2]}, index=["none", "axial"])
    _, *rows = rows_of(matrix(values, best="row"))
    assert rows == [["none", r"\textbf{0.100}", "0.200"], ["axial", "0.300", r"\textbf{0.200}"]]


def test_many_columns_become_several_tables():
    values = pd.DataFrame(np.random.default_rng(0).random((3, 30)), index=list("abc"))
    text = matrix(values)
    assert text.count(r"\begin{table}") == text.count(r"\end{table}") == 3
    assert "C (1 of 3)" in text
    assert r"\label{tab:m:3}" in text
    assert len(re.findall("rotatebox", text)) == 30
    assert max(map(len, rows_of(text))) == latex.MOST_COLUMNS + 1


def test_every_brace_is_closed():
    for text in (leaderboard(), matrix(pd.DataFrame({HOSTILE: [1.0]}, index=["}{"]))):
        bare = re.sub(r"\\[{}\\]", "", re.sub("(?m)^%.*$", "", text))
        assert bare.count("{") == bare.count("}")


@pytest.mark.slow
def test_tables_compile(tmp_path):
    if shutil.which("pdflatex") is None:
        pytest.skip("pdflatex is not installed")
    text = leaderboard(board().assign(rank=[1.0, np.nan, 2.0, np.nan, np.nan]))
    (tmp_path / "board.tex").write_text(text, encoding="utf-8")
    values = pd.DataFrame(np.random.default_rng(0).random((3, 15)), index=[HOSTILE, "[x]", "*'',,"])
    (tmp_path / "matrix.tex").write_text(matrix(values), encoding="utf-8")
    document = latex.document(["board.tex", "matrix.tex"], made_by=HOSTILE)
    (tmp_path / "tables.tex").write_text(document, encoding="utf-8")
    found = subprocess.run(
        ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "tables.tex"],  # noqa: S607
        cwd=tmp_path,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    assert found.returncode == 0, found.stdout[-2000:]
    assert (tmp_path / "tables.pdf").stat().st_size > 1000
    assert "Overfull" not in (tmp_path / "tables.log").read_text(errors="replace")
