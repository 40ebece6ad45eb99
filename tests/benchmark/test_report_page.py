"""The page: its structure, what it says, what it escapes, and that it needs nothing but itself."""

import csv
import json
import re
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from benchmark import findings, report_command, table
from benchmark.findings.answer import shown
from benchmark.report import page, sections, slots
from benchmark.report.page import script_json
from benchmark.report.summary import board_csv, summary_markdown
from benchmark.report.text import chance_note

HOSTILE = "<script>alert(1)</script>\"'&{{7*7}}"
TEMPLATES = Path(page.__file__).parent / "templates"
VOID = {"meta", "img", "br", "hr", "input", "link", "wbr"}


class Page(HTMLParser):
    """Elements of a page: checks that they nest, keeps tags, attributes and the text under each id."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.open, self.tags, self.texts, self.scripts = [], [], {}, []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        assert len(attributes) == len(attrs), f"an attribute twice on {tag}: {attrs}"
        self.tags.append((tag, attributes))
        if tag not in VOID:
            self.open.append((tag, attributes.get("id")))
            if tag == "script":
                self.scripts.append([attributes, ""])

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open, f"</{tag}> without a start"
        assert self.open[-1][0] == tag, f"</{tag}> inside {self.open[-3:]}"
        self.open.pop()

    def handle_data(self, data):
        for _, name in self.open:
            if name:
                self.texts[name] = self.texts.get(name, "") + data
        if self.open and self.open[-1][0] == "script":
            self.scripts[-1][1] += data

    def all(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]

    @property
    def board(self):
        return json.loads(
            next(text for attributes, text in self.scripts if attributes.get("id") == "board-data")
        )


def render(*folders):
    found = findings.read(folders)
    figures, left_out = slots.draw(found)
    return found, page.render(found, figures=figures, left_out=left_out)


@pytest.fixture(scope="module")
def whole(runs, tmp_path_factory):
    """Return findings with something of everything, and their page."""
    scores = runs.scores()
    bad = (scores["method"] == "gamma") & (scores["scenario"] == "mine") & (scores["model"] == "net")
    scores.loc[bad, "status"] = "timeout"
    scores.loc[bad, ["rmse", "rbo"]] = np.nan
    keys = ["scenario", "images", "features", "model", "method", "estimand", "status"]
    keys += ["data_seed", "train_seed"]
    shares = scores[keys].merge(pd.DataFrame({"modality": ["a", "b"]}), how="cross")
    shares = shares.assign(truth=0.5, estimate=0.5)
    manifest = {
        "command": "plumbline run paper --seeds 3",
        "suite": "paper",
        "images": ["phantom"],
        "seeds": {"data_seed": [0, 1, 2]},
        "commit": "0123abc",
        "versions": {"torch": "2.13.0", "rbo": None},
    }
    run = runs.write(
        tmp_path_factory.mktemp("whole"),
        scores,
        manifest=manifest,
        importances=shares,
        missing=runs.missing(),
        balance=runs.balance(),
    )
    return render(run)


def test_the_page_has_every_section_and_nests(whole):
    parsed = Page(whole[1])
    ids = [attributes["id"] for _, attributes in parsed.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    sections_there = [attributes["id"] for attributes in parsed.all("section")]
    assert sections_there == [
        *("answer", "leaderboard", "differences", "estimands", "heat", "fidelity", "missing", "balance"),
        *("failures", "reproduce", "cite"),
    ]
    links = [it["href"] for it in parsed.all("a")]
    assert {link[1:] for link in links} <= set(ids)
    for attributes in parsed.all("section"):
        assert attributes["aria-labelledby"] in ids
    for attributes in parsed.all("label"):
        assert attributes["for"] in ids


def test_the_page_is_made_for_those_who_do_not_see_it(whole):
    text = whole[1]
    parsed = Page(text)
    assert parsed.all("html")[0]["lang"] == "en"
    assert [tag for tag, _ in parsed.tags if tag in ("header", "nav", "main", "footer")] == [
        *("header", "nav", "main", "footer"),
    ]
    headings = [int(tag[1]) for tag, _ in parsed.tags if re.fullmatch("h[1-6]", tag)]
    assert headings[0] == 1
    assert headings.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(headings))
    assert len(parsed.all("table")) == len(parsed.all("caption")) > 5
    assert all(it.get("scope") in ("col", "row", "rowgroup") for it in parsed.all("th"))
    pictures = [it for it in parsed.all("svg") if it.get("role") == "img"]
    assert len(pictures) == len(parsed.all("svg")) > 3
    assert all("alt" in it for it in parsed.all("img"))
    assert "prefers-reduced-motion" in text
    assert "@media print" in text


def test_the_page_needs_nothing_but_itself(whole):
    parsed = Page(whole[1])
    for tag, attributes in parsed.tags:
        for name in ("src", "href", "srcset", "data", "action", "poster", "xlink:href"):
            value = attributes.get(name, "#")
            assert value.startswith(("#", "data:image/png;base64,")), (tag, name, value)
    assert not parsed.all("link")
    assert not parsed.all("iframe")
    style = whole[1]
    assert not re.search(r"@import|url\((?!#)", style)
    assert "default-src 'none'" in whole[1]
    own = [text for attributes, text in parsed.scripts if "type" not in attributes]
    assert len(own) == 1
    assert not re.search(r"fetch\(|XMLHttpRequest|innerHTML|import\(|https?:", own[0])


def test_the_leaderboard_without_a_script_is_the_unfiltered_one(whole):
    found, text = whole
    parsed = Page(text)
    expected = table.leaderboard(found.scores)
    told = parsed.texts["board-methods"] + parsed.texts["board-controls"]
    for row in expected.to_dict(orient="records"):
        assert row["method"] in told
        assert shown(row["rmse"]) in told
    # gamma failed somewhere: it has no rank, and stands last
    order = [told.index(name) for name in ("alpha", "beta", "gamma", "uniform")]
    assert order == sorted(order)


def test_the_data_of_the_script_are_the_boards(whole):
    found, text = whole
    data = Page(text).board
    boards = found.boards
    assert len(data["boards"]) == len(boards.truths) * len(boards.families) * len(boards.images)
    place = {name: at for at, name in enumerate(data["columns"])}
    for key, lines in data["boards"].items():
        truth, family, images = (
            levels[int(at)]
            for levels, at in zip(
                (boards.truths, boards.families, boards.images), key.split("."), strict=True
            )
        )
        rows = [line.split("|") for line in lines]
        for at, model in enumerate(data["models"]):
            expected = boards.board(truth=truth, family=family, images=images, model=model)
            mine = [row for row in rows if row[place["model"]] == str(at)]
            names = [data["methods"][int(row[place["method"]])][0] for row in mine]
            assert names == list(expected["method"])
            for row, value in zip(mine, expected["rmse"], strict=True):
                assert row[place["rmse"]] == ("" if np.isnan(value) else shown(value))
    assert [data["models"][at] for at in data["shown"]] == ["net"]


def test_the_answer_and_the_warnings_come_first(whole):
    found, text = whole
    told = Page(text).texts["answer"]
    assert found.answer[0].headline in " ".join(told.split())
    assert "3 results are missing (3 timeout)" in told
    assert text.index(found.warnings[0][:20]) < text.index('id="leaderboard"')


def test_failures_reproduction_and_flags_are_told(whole):
    parsed = Page(whole[1])
    assert parsed.texts["failures"].count("timeout") == 3
    assert "plumbline run paper --seeds 3" in parsed.texts["reproduce"]
    assert "0123abc" in parsed.texts["reproduce"]
    assert "torch 2.13.0" in parsed.texts["reproduce"]
    assert "None" not in parsed.texts["reproduce"]
    assert "leaned on by 1 of 2" in parsed.texts["balance"]
    assert "none" in parsed.texts["missing"]


def test_the_same_findings_give_the_same_page(whole):
    found, text = whole
    figures, left_out = slots.draw(found)
    assert page.render(found, figures=figures, left_out=left_out) == text


@pytest.mark.parametrize("where", ["scenario", "method", "model", "command", "modality"])
@pytest.mark.few(2)
def test_hostile_names_are_shown_as_they_stand(runs, tmp_path, where):
    methods = {HOSTILE: "gradient", **runs.targets} if where == "method" else runs.targets
    models = ["oracle", *([HOSTILE, f"{HOSTILE}|2"] if where == "model" else ["net"])]
    cases = ["paper-F0", HOSTILE if where == "scenario" else "xor"]
    scores = runs.scores(methods=methods, models=models, cases=cases, n_seeds=2)
    manifest = {"command": HOSTILE if where == "command" else "x", "suite": HOSTILE, "images": [HOSTILE]}
    balance = runs.balance().replace({"modality": {"a": HOSTILE}}) if where == "modality" else runs.balance()
    found, text = render(runs.write(tmp_path / "run", scores, manifest=manifest, balance=balance))
    parsed = Page(text)
    assert ("across" in parsed.texts) == (where == "model")
    assert "<script" not in summary_markdown(found).partition("## Made by")[0].replace("\\<script", "")
    assert len(parsed.scripts) == 2
    assert all("alert(1)</script>" not in body for _, body in parsed.scripts)
    everything = " ".join(parsed.texts.values())
    assert "<script>alert(1)</script>" in everything
    assert "{{7*7}}" in everything
    assert not [
        attributes for _, attributes in parsed.tags if any(name.startswith("on") for name in attributes)
    ]
    assert parsed.board["boards"]


def test_signs_that_steer_a_screen_are_escaped(runs, tmp_path):
    steering = "a\x1b[31m\u202eb\u2028c"
    scores = runs.scores(methods={steering: "gradient", **runs.targets}, n_seeds=2)
    _, text = render(runs.write(tmp_path / "run", scores))
    assert not set("\x1b\u202e\u2028") & set(text)
    assert Page(text).board["methods"][0][0] == "a\\x1b[31m\\u202eb\\u2028c"


def test_json_in_a_script_cannot_end_it():
    content = {"a": "</script><!--", "b": "\u2028&"}
    text = str(script_json(content))
    assert not set("<>&\u2028") & set(text)
    assert json.loads(text) == content


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("the oracle alone", {"models": ["oracle"]}),
        pytest.param("networks alone", {"models": ["net"]}, marks=pytest.mark.slow),
        ("several networks", {"models": ["oracle", "net", "other"]}),
        pytest.param("one seed", {"n_seeds": 1}, marks=pytest.mark.slow),
        ("one seed and scenario", {"n_seeds": 1, "cases": ["xor"]}),
        pytest.param("one method", {"methods": {"alpha": "gradient"}}, marks=pytest.mark.slow),
        ("controls alone", {"methods": {"uniform": "control"}}),
    ],
)
@pytest.mark.few(2)
def test_a_page_of_less_is_a_page(runs, tmp_path, name, options):
    found, text = render(runs.write(tmp_path / "run", runs.scores(**options)))
    parsed = Page(text)
    assert ("model" in {it["data-column"] for it in parsed.all("th") if "data-column" in it}) == (
        name == "several networks"
    )
    assert len(found.answer) == len(found.boards.main_models)
    assert parsed.texts["answer"].strip()
    if name != "several networks":
        assert "agreement" not in parsed.texts
        assert "on every network" not in summary_markdown(found)
        return
    assert found.agreement.sentence in parsed.texts["across"]
    assert list(found.agreement.errors) == ["net", "other", "oracle"]
    means = found.agreement.ranks.mean(axis=1)
    for method, errors in found.agreement.errors.iterrows():
        row = f"\n{method}{means[method]:.1f}{''.join(map(shown, errors))}\n"
        assert row in parsed.texts["agreement-table"]
    assert "## The same scenarios on every network: RMSE" in summary_markdown(found)


def test_runs_that_differ_in_features_alone_are_told_apart(runs, tmp_path):
    manifest = {"suite": "paper", "images": ["phantom"]}
    scores = runs.scores(n_seeds=1, cases=["xor"])
    keys = ["scenario", "images", "features", "model", "method", "estimand", "status"]
    shares = scores[[*keys, "data_seed", "train_seed"]].assign(modality="a", truth=0.5)
    folders = [
        runs.write(
            tmp_path / features,
            scores.assign(features=features),
            manifest=manifest | {"features": features},
            importances=shares.assign(features=features, estimate=estimate),
            missing=runs.missing().assign(features=features),
            balance=runs.balance().assign(features=features),
        )
        for features, estimate in (("autoencoder", 0.2), ("pca", 0.8))
    ]
    found, text = render(*folders)
    names = ["xor on phantom (autoencoder)", "xor on phantom (pca)"]
    assert list(found.heat.columns) == names
    told = found.shares[(found.shares["method"] == "alpha") & (found.shares["model"] == "net")]
    assert dict(zip(told["scenario"], told["mean"], strict=True)) == dict(zip(names, (0.2, 0.8), strict=True))
    for means in (found.subset_means.reset_index(), found.balance_means):
        assert {name.partition(" on ")[2] for name in means["scenario"]} == {
            "phantom (autoencoder)",
            "phantom (pca)",
        }
    heading = text.split("<h1>")[1].split("</h1>")[0]
    assert "features autoencoder" in heading
    assert "features pca" in heading
    assert "phantom (pca)" in Page(text).texts["missing"]


def test_networks_that_learnt_nothing_make_a_page(runs, tmp_path):
    scores = runs.scores()
    scores.loc[scores["model"] == "net", "learnt"] = 0.2
    _, text = render(runs.write(tmp_path / "run", scores))
    assert "Nothing can be said" in Page(text).texts["answer"]
    assert Page(text).texts["fidelity"].count("no") >= 9


def test_what_failed_everywhere_makes_a_page(runs, tmp_path):
    scores = runs.scores().assign(status="failed", rmse=np.nan, rbo=np.nan, learnt=np.nan, estimand="")
    scores = scores.drop_duplicates(["scenario", "model", "method", "data_seed"])
    _, text = render(runs.write(tmp_path / "run", scores))
    assert "Nothing can be said" in Page(text).texts["answer"]


def test_pixels_alone_make_a_page_with_their_pictures():
    _, text = render(Path("results/reference/pixels"))
    parsed = Page(text)
    assert "pixel_integrated_gradients" in parsed.texts["pixels"]
    assert parsed.all("img")[0]["src"].startswith("data:image/png;base64,")
    assert len(text.encode()) < 6e6


def test_pictures_without_room_are_named(monkeypatch):
    monkeypatch.setattr(page, "MOST_PICTURE_BYTES", 1000)
    _, text = render(Path("results/reference/pixels"))
    assert not Page(text).all("img")
    assert "results/reference/pixels/pixels-hybrid.png" in Page(text).texts["pixels"]


def test_figures_without_room_are_named(runs, tmp_path, monkeypatch):
    monkeypatch.setattr(slots, "MOST_BYTES", 10)
    found = findings.read([runs.write(tmp_path / "run", runs.scores())])
    figures, left_out = slots.draw(found)
    assert not figures
    text = page.render(found, figures=figures, left_out=left_out)
    assert "plumbline export" in Page(text).texts["left-out"]


def test_a_figure_that_cannot_be_drawn_is_named_and_the_rest_are_there(runs, tmp_path, monkeypatch, caplog):
    def fail(*_arguments, **_options):
        raise ZeroDivisionError("no such thing")

    monkeypatch.setattr(slots, "draw_cost", fail)
    figures, left_out = slots.draw(findings.read([runs.write(tmp_path / "run", runs.scores())]))
    assert {slot.kind for slot in figures} == {"critical-difference", "error-parts"}
    assert left_out == ["Figure cost net: ZeroDivisionError: no such thing"]
    assert "no such thing" in caplog.text


def test_missing_modalities_without_regrets_make_a_page(runs, tmp_path):
    lacking = runs.missing().assign(regret_log_loss=np.nan)
    found = findings.read([runs.write(tmp_path / "run", runs.scores(n_seeds=1), missing=lacking)])
    figures, left_out = slots.draw(found)
    assert {slot.kind for slot in figures} >= {"missing-accuracy"}
    assert "missing-regret" not in {slot.kind for slot in figures}
    assert not left_out


def test_errors_that_all_round_to_nothing_have_an_axis(runs, tmp_path):
    scores = runs.scores(n_seeds=1).assign(rmse=1e-5, rmse_uniform=1e-5)
    _, text = render(runs.write(tmp_path / "run", scores))
    assert "--most:0.001" in text


def test_long_tables_are_cut_and_say_so(runs, tmp_path, monkeypatch):
    monkeypatch.setattr(sections, "MOST_NETWORKS", 2)
    monkeypatch.setattr(sections, "MOST_HEAT_CELLS", 12)
    _, text = render(runs.write(tmp_path / "run", runs.scores()))
    parsed = Page(text)
    assert "The first 2 of 9 networks" in parsed.texts["fidelity"]
    assert "1 models are left out" in parsed.texts["heat"]


def test_the_command_writes_page_markdown_and_csv(runs, tmp_path, capsys):
    run = runs.write(tmp_path / "run", runs.scores())
    report_command.report([run])
    names = {file.name for file in run.iterdir()} - {"scores.csv"}
    assert names == {"report.html", "report.md", "report.csv"}
    assert "Report:" in capsys.readouterr().out
    rows = list(csv.DictReader((run / "report.csv").read_text().splitlines()))
    expected = table.leaderboard(runs.scores())
    mine = [row for row in rows if row["model"] == "net"]
    assert [row["method"] for row in mine] == list(expected["method"])
    np.testing.assert_allclose([float(row["rmse"]) for row in mine], expected["rmse"], rtol=1e-9)
    report_command.report([run / "scores.csv"], out=tmp_path / "else" / "page.html")
    assert (tmp_path / "else" / "page.md").read_text() == (run / "report.md").read_text()


def test_the_command_refuses_what_is_no_page(runs, tmp_path):
    run = runs.write(tmp_path / "run", runs.scores())
    with pytest.raises(ValueError, match=r"must end in .html. Got .*page.txt"):
        report_command.report([run], out=tmp_path / "page.txt")


@pytest.mark.parametrize("name", ["scores", "missing", "Leaderboard", "README"])
def test_the_command_replaces_no_file_that_is_not_a_reports(runs, tmp_path, name):
    run = runs.write(tmp_path / "run", runs.scores(n_seeds=1), missing=runs.missing())
    (run / "README.md").write_text("# Mine\n")
    before = {file.name: file.read_bytes() for file in run.iterdir()}
    with pytest.raises(ValueError, match="choose another name"):
        report_command.report([run], out=run / f"{name}.html")
    assert {file.name: file.read_bytes() for file in run.iterdir()} == before


@pytest.mark.parametrize("suffix", [".md", ".csv"])
def test_a_report_replaces_its_own_files_alone(runs, tmp_path, suffix):
    run = runs.write(tmp_path / "run", runs.scores(n_seeds=1, methods={"alpha": "gradient"}))
    report_command.report([run])
    report_command.report([run])
    (run / f"report{suffix}").write_text("mine\n")
    (run / "report.html").write_text("as it was")
    with pytest.raises(ValueError, match=rf"Got .*report{suffix}', which no report wrote: move it"):
        report_command.report([run])
    assert (run / f"report{suffix}").read_text() == "mine\n"
    assert (run / "report.html").read_text() == "as it was"


def test_the_note_of_chance_tells_the_truths_that_methods_target(runs):
    scores = runs.scores(n_seeds=2)
    assert "Chance level 0.750 (a random order)" in chance_note(scores)
    scores.loc[scores["estimand"] == "shapley", "rbo_chance"] = 0.8
    told = chance_note(scores)
    assert "Chance level from 0.750 to 0.800, by the truth that is targeted" in told
    assert "; 1 of 3 cases ties all modalities" in told
    scores.loc[scores["estimand"] == "shapley", "informative"] = 1.0
    assert "; up to 1 of 3 cases ties" in chance_note(scores)
    # what nobody targets says nothing
    assert "Chance level 0.750 (a" in chance_note(scores[scores["method"] != "beta"])
    assert "Chance level 0.750 (a" in chance_note(scores[scores["method"] == "uniform"])


def test_a_table_without_the_number_of_modalities_makes_a_page(runs, tmp_path):
    scores = runs.scores(n_seeds=2).drop(columns="n_modalities")
    _, text = render(runs.write(tmp_path / "run", scores))
    assert "p = 1 − 1/n for n modalities" in Page(text).texts["leaderboard"]


def test_markdown_and_csv_hold_hostile_names(runs, tmp_path):
    scores = runs.scores(methods={HOSTILE: "gradient", **runs.targets})
    found = findings.read([runs.write(tmp_path / "run", scores)])
    assert "<script>" not in summary_markdown(found)
    assert HOSTILE in {row["method"] for row in csv.DictReader(board_csv(found).splitlines())}


# ---- colours


def _luminance(colour):
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _contrast(one, other):
    """Return the contrast of WCAG 2.2, 1 to 21."""
    high, low = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def _themes():
    style = (TEMPLATES / "report.css").read_text()
    blocks = re.findall(r"\{([^{}]*--ink:[^{}]*)\}", style)
    return [dict(re.findall(r"(--[\w-]+):\s*(#[0-9a-f]{3,6})", block)) for block in blocks]


def test_the_two_dark_themes_are_one():
    light, by_system, by_choice, _ = _themes()
    assert by_system == by_choice != light


@pytest.mark.parametrize("place", range(3))
def test_text_can_be_read_in_every_theme(place):
    theme = _themes()[place]
    for background in ("--paper", "--panel"):
        for ink in ("--ink", "--muted", "--accent", "--good", "--bad"):
            assert _contrast(theme[ink], theme[background]) >= 4.5, (ink, background)
    assert _contrast(theme["--ink"], theme["--heat"]) >= 4.5
    for number in range(1, 9):
        assert _contrast(theme[f"--series-{number}"], theme["--paper"]) >= 3.0, number
