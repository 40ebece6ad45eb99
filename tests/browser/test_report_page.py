"""The report in a real browser: what is drawn, sorted, filtered, read aloud, printed, seen in any theme."""

from __future__ import annotations

import math
from itertools import pairwise, product
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import synthetic
from benchmark import report_command, table
from benchmark.findings.answer import shown

pytestmark = pytest.mark.browser

SOURCES = Path(__file__).parent
IN_PAGE = {file.stem: file.read_text() for file in SOURCES.glob("*.js")}
WIDTHS = (1440, 375)
THEMES = ("light", "dark")
TEXT = ("method", "model")
FILTERS = ("truth", "family", "images", "model")


@pytest.fixture(scope="module")
def opened(browser, made_up):
    """Return the page as it was opened, and everything that it asked for or complained of."""
    context = browser.new_context(viewport={"width": WIDTHS[0], "height": 900}, color_scheme="light")
    page = context.new_page()
    seen = SimpleNamespace(page=page, requests=[], said=[])
    _listen(page, seen)
    page.goto(made_up.file.as_uri())
    yield seen
    context.close()


@pytest.fixture
def page(opened):
    """Return the page as if it had been opened just now, at a desk, in the light."""
    page = opened.page
    page.emulate_media(media="screen", color_scheme="light")
    page.set_viewport_size({"width": WIDTHS[0], "height": 900})
    page.evaluate("() => { sessionStorage.clear(); scrollTo(0, 0); }")
    page.reload()
    return page


def _listen(page, seen):
    page.on("request", lambda request: seen.requests.append(request.url))
    page.on("console", lambda message: seen.said.append(f"console: {message.text}"))
    page.on("pageerror", lambda error: seen.said.append(f"error: {error}"))

    def refuse(dialog):
        seen.said.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    page.on("dialog", refuse)


def _is_own(url, file):
    return url.split("#")[0] == file.as_uri() or url.startswith("data:")


def board(page):
    """Return the rows of the leaderboard as they stand: column → what is shown, its small print apart."""
    return page.evaluate(
        """() => {
          const heads = [...document.querySelectorAll("#board thead th")].map((it) => it.dataset.column);
          const plain = (cell) =>
            [...cell.childNodes].filter((it) => !it.className).map((it) => it.textContent).join("");
          return [...document.querySelectorAll("#board tbody tr")].map((row) => Object.fromEntries(
            [["control", row.parentElement.id === "board-controls"],
             ...[...row.cells].map((cell, at) => [heads[at], plain(cell).trim()])]));
        }"""
    )


def number(text):
    return math.nan if text == "–" else float(text.replace(",", ""))


# ---- loading


def test_the_page_loads_itself_and_nothing_else(opened, made_up):
    assert opened.said == []
    assert opened.requests[0] == made_up.file.as_uri()
    assert [url for url in opened.requests if not _is_own(url, made_up.file)] == []
    assert made_up.file.stat().st_size < 6e6


def test_hostile_names_are_text(page, made_up):
    assert made_up.method in {row["method"] for row in board(page)}
    assert made_up.scenario in page.locator("#heat thead").inner_text()
    assert page.locator("img[src=x], main script:not([type])").count() == 0
    assert made_up.method in page.locator("#reproduce pre").inner_text()


# ---- sorting


def _is_in_order(values, *, descending):
    there = [value for value in values if value == value]  # noqa: PLR0124 - NaN is not itself
    known = [value == value for value in values]  # noqa: PLR0124
    steps = pairwise(reversed(there) if descending else there)
    return known == sorted(known, reverse=True) and all(one <= other for one, other in steps)


@pytest.mark.parametrize("way", ["mouse", pytest.param("keyboard", marks=pytest.mark.slow)])
@pytest.mark.few(1)
def test_every_column_sorts_both_ways(page, way):
    before = board(page)
    heads = page.locator("#board thead th")
    names = heads.evaluate_all("all => all.map((it) => it.dataset.column)")
    dashes = 0
    for at, name in enumerate(names):
        button = heads.nth(at).get_by_role("button")
        first = heads.nth(at).get_attribute("data-first") == "descending"
        for descending in (first, not first):
            if way == "mouse":
                button.click()
            else:
                button.press("Enter" if descending else "Space")
            rows = board(page)
            methods = [row[name] for row in rows if not row["control"]]
            values = methods if name in TEXT else list(map(number, methods))
            assert _is_in_order(values, descending=descending), (name, descending, methods)
            dashes += "–" in methods
            assert [row["control"] for row in rows] == sorted(row["control"] for row in rows)
            assert sorted(rows, key=repr) == sorted(before, key=repr)
            told = heads.evaluate_all("all => all.map((it) => it.ariaSort)")
            expected = ["none"] * len(names)
            expected[at] = "descending" if descending else "ascending"
            assert told == expected
    assert dashes > 4  # so that there was something to be last


def test_a_sort_outlives_a_filter(page):
    head = page.locator("#board th[data-column=seconds]")
    head.get_by_role("button").click()
    page.locator("#filter-model").select_option(label="late")
    assert _is_in_order(
        [number(row["seconds"]) for row in board(page) if not row["control"]], descending=False
    )
    assert head.get_attribute("aria-sort") == "ascending"


def test_the_order_check_can_fail():
    assert _is_in_order([1.0, 2.0, math.nan], descending=False)
    assert not _is_in_order([1.0, math.nan, 2.0], descending=False)
    assert not _is_in_order([10.0, 9.0], descending=False)


# ---- filters


def _choices(page):
    """Return the options of each filter as they are labelled."""
    return {
        name: page.locator(f"#filter-{name} option").evaluate_all("all => all.map((it) => it.textContent)")
        for name in FILTERS
    }


def _chosen(page):
    """Return what each filter says."""
    return page.evaluate(
        """(names) => Object.fromEntries(names.map((name) =>
          [name, document.getElementById(`filter-${name}`).selectedOptions[0].textContent]))""",
        FILTERS,
    )


def _expected(scores, chosen):
    """Return method and model → the numbers of the leaderboard of what was chosen."""
    rows = scores
    if chosen["family"] != "all families":
        rows = rows[[synthetic.family(name) == chosen["family"] for name in rows["scenario"]]]
    if chosen["images"] != "all sources":
        rows = rows[rows["images"] == chosen["images"]]
    if chosen["model"].startswith("oracle"):
        rows = rows[rows["model"] == "oracle"]
    elif chosen["model"] != "all networks":
        rows = rows[rows["model"].isin(["oracle", chosen["model"]])]
    if not len(rows):
        return {}
    truth = chosen["truth"].removesuffix(" truth")
    found = table.leaderboard(rows, estimand=None if chosen["truth"].startswith("the truth") else truth)
    return {(row["method"], row["model"]): _shown(row) for row in found.to_dict(orient="records")}


def _shown(row):
    def told(name, form):
        return "–" if np.isnan(row[name]) else form(row[name] + 0.0)

    def three(value):
        return f"{value:.3f}".replace("-0.000", "0.000")

    return {
        "rmse": told("rmse", shown),
        "skill": told("skill", three),
        "rbo": told("rbo", three),
        "rbo_corrected": told("rbo_corrected", three),
        "rmse_oracle": told("rmse_oracle", shown),
        "model_calls": told("model_calls", "{:,.0f}".format),
        "seconds": told("seconds", "{:.2f}".format),
    }


def _check(page, scores, chosen):
    for name, label in _chosen(page).items():
        if chosen[name] != label:
            page.locator(f"#filter-{name}").select_option(label=chosen[name])
    rows = board(page)
    expected = _expected(scores, chosen)
    mine = {(row["method"], row["model"]): {name: row[name] for name in _NUMBERS} for row in rows}
    assert mine == expected, chosen
    assert len(mine) == len(rows)
    for model in {row["model"] for row in rows}:
        ranked = [number(row["rank"]) for row in rows if row["rank"] != "–" and row["model"] == model]
        assert ranked == sorted(ranked)
    status = page.get_by_role("status").inner_text()
    n = sum(not row["control"] for row in rows)
    assert status.startswith(f"{n} row" if n else "No results"), chosen
    assert all(label in status for label in chosen.values())
    return len(rows)


_NUMBERS = ("rmse", "skill", "rbo", "rbo_corrected", "rmse_oracle", "model_calls", "seconds")


@pytest.mark.few(1)
def test_filters_show_the_leaderboard_of_what_is_chosen(page, made_up):
    choices = _choices(page)
    assert [len(labels) for labels in choices.values()] == [7, 4, 3, 4]
    plain = {name: labels[0] for name, labels in choices.items()}
    selections = [plain | {name: label} for name in FILTERS for label in choices[name][1:]]
    rng = np.random.default_rng(0)
    selections += [{name: rng.choice(labels).item() for name, labels in choices.items()} for _ in range(5)]
    selections.append(plain)  # last, so that it is chosen rather than found
    counts = [_check(page, made_up.scores, chosen) for chosen in selections]
    assert len(set(counts)) > 1


@pytest.mark.slow
def test_every_combination_of_filters(page, made_up):
    choices = _choices(page)
    for labels in reversed(list(product(*choices.values()))):
        _check(page, made_up.scores, dict(zip(choices, labels, strict=True)))


def test_a_combination_without_rows_says_so_and_another_brings_them_back(page, made_up):
    chosen = {name: labels[0] for name, labels in _choices(page).items()}
    assert _check(page, made_up.scores, chosen | {"family": "own", "images": "organamnist"}) == 0
    assert _check(page, made_up.scores, chosen) > 10


# ---- figures


def _check_figures(page):
    found = page.evaluate(IN_PAGE["figures"])
    for it in found["svg"]:
        assert it["role"] == "img"
        assert it["name"].strip()
        assert min(it["width"], it["height"]) > 50, it
        assert it["outside"] == [], it["name"]
        assert it["unseen"] == 0, it["name"]
    for it in found["img"]:
        assert it["width"] > 0
        assert it["alt"]
        assert it["source"] == "data:"
    return len(found["svg"]), len(found["img"])


def test_every_figure_is_drawn_and_named(page):
    page.evaluate(OPEN)
    n_drawn, _ = _check_figures(page)
    kinds = page.locator("figure").evaluate_all("all => all.map((it) => it.dataset.kind)")
    assert n_drawn == len(kinds)
    assert set(kinds) >= {"cost", "critical-difference", "error-parts", "importances"}
    assert set(kinds) >= {"missing-accuracy", "missing-regret", "balance", "balance-alone"}
    assert page.get_by_role("img").count() == n_drawn


OPEN = "() => document.querySelectorAll('details').forEach((it) => { it.open = true; })"


@pytest.mark.parametrize("name", ["paper-phantom", "pixels"])
@pytest.mark.few(1)
def test_the_reference_results_make_a_page(browser, tmp_path, name):
    file = tmp_path / "report.html"
    report_command.report([Path("results/reference") / name], out=file)
    page = browser.new_page()
    seen = SimpleNamespace(requests=[], said=[])
    _listen(page, seen)
    page.goto(file.as_uri())
    page.evaluate(OPEN)
    n_drawn, n_pictures = _check_figures(page)
    assert (n_pictures if name == "pixels" else n_drawn) > 0
    if name == "paper-phantom":
        _check_theme(page)
    assert seen.said == []
    assert [url for url in seen.requests if not _is_own(url, file)] == []
    page.close()


# ---- what is seen


def _check_theme(page):
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert page.evaluate(IN_PAGE["contrast"]) == []
    assert page.evaluate(IN_PAGE["overlap"]) == []


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.few(4)
def test_the_page_fits_and_can_be_read(page, width, theme):
    page.set_viewport_size({"width": width, "height": 900})
    page.emulate_media(color_scheme=theme)
    page.evaluate(OPEN)
    _check_theme(page)


def test_the_checks_of_what_is_seen_can_fail(page):
    page.evaluate(
        """() => {
          document.querySelector(".headline").style.color = "#999";
          document.querySelector("svg text").style.fill = "#aaa";
          document.querySelector("#theme").style.marginRight = "-3000px";
          document.querySelector(".contents a").style.marginRight = "-3rem";
        }"""
    )
    assert len(page.evaluate(IN_PAGE["contrast"])) >= 2
    assert page.evaluate(IN_PAGE["overlap"]) != []
    assert page.evaluate("document.documentElement.scrollWidth > innerWidth")
    page.evaluate("document.querySelector('svg text').setAttribute('x', '-900')")
    assert any(it["outside"] for it in page.evaluate(IN_PAGE["figures"])["svg"])


@pytest.mark.parametrize("system", THEMES)
def test_the_theme_is_switched_by_mouse_and_by_keyboard_and_kept(page, system):
    page.emulate_media(color_scheme=system)
    button = page.locator("#theme")

    def paper():
        return page.evaluate("getComputedStyle(document.body).backgroundColor")

    first, other = (
        ("Dark colours", "Light colours") if system == "light" else ("Light colours", "Dark colours")
    )
    before = paper()
    assert button.inner_text() == first
    button.click()
    assert button.inner_text() == other
    switched = paper()
    assert switched != before
    page.reload()
    assert paper() == switched
    button.press("Space")
    assert (paper(), button.inner_text()) == (before, first)
    button.press("Enter")
    assert (paper(), button.inner_text()) == (switched, other)


# ---- without a script, and on paper

SECTIONS = (
    *("answer", "leaderboard", "differences", "agreement", "estimands", "heat", "fidelity", "missing"),
    *("balance", "failures", "reproduce", "cite"),
)


def _sections(page):
    return page.locator("main > section").evaluate_all(
        "all => all.filter((it) => it.offsetHeight > 20).map((it) => it.id)"
    )


def test_without_a_script_everything_unfiltered_is_there(page, browser, made_up):
    context = browser.new_context(java_script_enabled=False)
    plain = context.new_page()
    plain.goto(made_up.file.as_uri())
    assert tuple(_sections(plain)) == SECTIONS
    assert board(plain) == board(page)
    assert len(board(plain)) > 10
    first, second = plain.locator("#answer .headline").all_inner_texts()[:2]
    assert first.startswith("Least error on 2 networks: ")
    assert "no single method stands apart" in second
    for name in ("#filters", "#theme"):
        assert plain.locator(name).is_hidden()
    plain.locator("#differences summary").first.click()
    assert plain.locator("#differences details table").first.is_visible()
    context.close()


def test_on_paper_everything_is_open_and_light(page):
    page.emulate_media(media="print", color_scheme="dark")
    page.evaluate("() => { document.documentElement.dataset.theme = 'dark'; }")
    assert tuple(_sections(page)) == SECTIONS
    closed = page.locator("details:not([open]) table")
    assert closed.count() > 1
    for at in range(closed.count()):
        assert closed.nth(at).is_visible()
        assert closed.nth(at).bounding_box()["height"] > 20
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert page.evaluate(IN_PAGE["contrast"]) == []
    for name in ("#filters", "#theme", "nav .contents"):
        assert page.locator(name).is_hidden()
    cut = page.locator(".scroll").evaluate_all(
        """all => all.filter((it) => it.scrollHeight > it.clientHeight + 1
          && getComputedStyle(it).overflowY !== "visible").length"""
    )
    assert cut == 0


@pytest.mark.slow
def test_tables_fit_on_paper(page):
    page.emulate_media(media="print")
    for name, width in (("main > section:not(#heat)", 186), ("#heat", 273)):  # mm of A4 between margins
        page.set_viewport_size({"width": int(width * 96 / 25.4), "height": 900})
        wide = page.locator(f"{name} table").evaluate_all(
            "all => all.filter((it) => it.offsetWidth > innerWidth).map((it) => it.caption.textContent)"
        )
        assert wide == []


def test_the_page_can_be_printed(page):
    printed = page.pdf(prefer_css_page_size=True)
    assert printed.startswith(b"%PDF")
    assert len(printed) > 50_000


# ---- for those who do not see it, or use no mouse


def test_the_first_key_offers_to_skip_to_the_answer(page):
    page.keyboard.press("Tab")
    skip = page.locator(":focus")
    assert skip.inner_text() == "Skip to the answer"
    assert skip.bounding_box()["x"] >= 0
    page.keyboard.press("Enter")
    assert page.evaluate("location.hash") == "#answer"
    assert page.evaluate("document.querySelector('#answer').getBoundingClientRect().top") < 200
    page.keyboard.press("Tab")
    assert page.evaluate("document.querySelector('main').contains(document.activeElement)")


def test_landmarks_headings_and_tables_say_what_they_are(page):
    page.evaluate(OPEN)
    for role in ("banner", "navigation", "main", "contentinfo"):
        assert page.get_by_role(role).count() == 1, role
    assert page.get_by_role("region").count() >= len(SECTIONS)
    levels = page.get_by_role("heading").evaluate_all("all => all.map((it) => Number(it.tagName[1]))")
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))
    tables = page.locator("table").evaluate_all(
        """all => all.map((it) => ({
          caption: it.caption?.textContent.trim(), rows: it.tBodies[0].rows.length,
          bare: it.querySelectorAll("th:not([scope])").length,
          heads: it.querySelectorAll("thead th").length}))"""
    )
    assert len(tables) > 8
    for it in tables:
        assert it["caption"]
        assert it["rows"]
        assert it["heads"]
        assert it["bare"] == 0
    names = page.get_by_role("region").evaluate_all(
        """all => all.map((it) =>
          it.ariaLabel || document.getElementById(it.getAttribute("aria-labelledby"))?.textContent)"""
    )
    assert all(names)
    for name in FILTERS:
        assert page.locator(f"#filter-{name}").evaluate("it => it.labels.length") == 1


@pytest.mark.few(1)
def test_the_keyboard_reaches_everything_and_shows_where_it_is(page):
    page.emulate_media(reduced_motion="reduce")  # no waiting for scrolling
    found = page.evaluate(IN_PAGE["focus"])
    assert len(found) > 40
    for place, name in enumerate(found):
        page.keyboard.press("Tab")
        where = page.evaluate("window.whereFocusIs()")
        assert where == {"place": place, "isOutlined": True, "isInView": True}, name
