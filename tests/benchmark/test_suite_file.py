from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import methods
import synthetic
from benchmark import models, suite
from benchmark.suite import Suite
from benchmark.suite_file import find_suite, load_suite, suite_from_toml, suite_to_toml

EVERYTHING = """\
name = "gaps"
description = "tables with gaps, and a case without"
scenarios = ["paper-F6", "missing-mar", "missing-mcar"]
models = ["oracle", "hybrid"]
seeds = 5
patients = 2000
images = ["organamnist", "organ-ac"]
methods = ["gradient", "lime(n_points=1000)", "mine:norm"]
explained = 500
image_size = 64
features = "pca"
"""

SMALL = """\
name = "small"
scenarios = "xor"
models = "oracle"
"""


def test_every_key_is_read():
    assert suite_from_toml(EVERYTHING) == Suite(
        name="gaps",
        description="tables with gaps, and a case without",
        scenarios=("paper-F6", "missing-mar", "missing-mcar"),
        models=("oracle", "hybrid"),
        n_seeds=5,
        n_patients=2000,
        images=("organamnist", "organ-ac"),
        methods=("gradient", "lime(n_points=1000)", "mine:norm"),
        n_explained=500,
        image_size=64,
        features="pca",
    )


def test_what_is_written_is_what_was_read():
    assert suite_to_toml(suite_from_toml(EVERYTHING)) == EVERYTHING


def test_the_shortest_file_has_the_defaults():
    found = suite_from_toml(SMALL)
    assert found == Suite("small", "", ("xor",), ("oracle",))
    n_methods = sum(methods.get(name).estimand != "pixels" for name in suite.choose_methods(()))
    assert len(suite.plan(found)) == 3 * (n_methods + 3)


@pytest.mark.parametrize("name", list(suite.SUITES))
def test_the_built_in_suites_come_back(name):
    text = suite_to_toml(suite.get(name))
    assert suite_from_toml(text) == suite.get(name)
    assert max(map(len, text.splitlines())) <= 120


def test_a_pattern_stands_for_what_works_on_the_images_and_is_not_named_yet():
    text = SMALL.replace('"xor"', '["paper-F6", "paper-F[5-7]", "*"]')
    names = suite_from_toml(text).scenarios
    assert names[:3] == ("paper-F6", "paper-F5", "paper-F7")
    assert sorted(names) == sorted(synthetic.scenarios())
    names = suite_from_toml(text + 'images = "organamnist"').scenarios
    assert sorted(names) == sorted(synthetic.scenarios("organamnist"))
    names = suite_from_toml(text + 'images = ["organamnist", "phantom"]').scenarios
    assert sorted(names) == sorted(synthetic.scenarios())


def test_paths_of_scenarios_are_relative_to_the_file(tmp_path):
    mine = replace(synthetic.scenario("xor"), name="mine", n=400)
    (tmp_path / "own").mkdir()
    synthetic.save_scenario(mine, tmp_path / "own" / "mine.toml")
    path = tmp_path / "suite.toml"
    path.write_bytes(b"\xef\xbb\xbf" + SMALL.replace('"xor"', '["own/mine.toml", "xor"]').encode())
    found = load_suite(path)
    assert found.scenarios == ("own/mine.toml", "xor")
    assert found.files == {"own/mine.toml": mine}
    assert {job.stage.scenario for job in suite.plan(found)} == {"mine", "xor"}
    assert suite_from_toml(suite_to_toml(found), folder=tmp_path) == found == find_suite(path)
    assert hash(found) == hash(load_suite(str(path)))
    # Images, size and features are those of the scenario by name.
    path.write_text(SMALL.replace('"xor"', '["own/mine.toml", "xor"]') + 'images = "organamnist"')
    stages = {job.stage for job in suite.plan(load_suite(path))}
    assert {(it.scenario, it.images) for it in stages} == {("mine", "phantom"), ("xor", "organamnist")}


def test_suites_are_found_by_name_too():
    assert find_suite("paper") is suite.get("paper")
    with pytest.raises(ValueError, match="Did you mean 'paper'"):
        find_suite("papr")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        # Texts that are not TOML, and keys.
        (("seeds = 5", "seeds = "), r"In mine.toml: this is not TOML: .*at line 5, column"),
        (("seeds =", "seed ="), r"In mine.toml: The key 'seed' is unknown. Did you mean 'seeds'\?"),
        (("models =", "modles ="), r"In mine.toml: The key 'modles' is unknown. Did you mean 'models'\?"),
        (('name = "gaps"\n', ""), r"In mine.toml: 'name' must be given. Got none; add it."),
        (('models = ["oracle", "hybrid"]\n', ""), r"'models' must be given"),
        (('scenarios = ["paper-F6", "missing-mar", "missing-mcar"]\n', ""), r"'scenarios' must be given"),
        # Types.
        (('"gaps"', "3"), r"'name' must be text in quotes. Got a whole number, 3."),
        (("seeds = 5", "seeds = '5'"), r"'seeds' must be a whole number. Got text, '5'."),
        (("seeds = 5", "seeds = 5.0"), r"'seeds' must be a whole number. Got a number, 5.0."),
        (("seeds = 5", "seeds = true"), r"'seeds' must be a whole number. Got a truth value"),
        (("seeds = 5", "seeds = [0, 1]"), r"'seeds' must be a whole number. Got an array"),
        (('"hybrid"]', "7]"), r"'models\[1\]' must be text in quotes. Got a whole number, 7."),
        (('["oracle", "hybrid"]', "{}"), r"'models' must be an array.* Got a table"),
        # Numbers.
        (("seeds = 5", "seeds = 0"), r"'seeds' must be from 1 to 10,000. Got a whole number, 0."),
        (("seeds = 5", "seeds = -3"), r"'seeds' must be from 1 to 10,000. Got a whole number, -3."),
        (("seeds = 5", "seeds = 99999"), r"'seeds' must be from 1 to 10,000. Got"),
        (("patients = 2000", "patients = -1"), r"'patients' must be from 1 to 10,000,000. Got"),
        (("explained = 500", "explained = 1"), r"'explained' must be from 2 to 10,000,000. Got .*, 1."),
        (("image_size = 64", "image_size = 65"), r"'image_size' must be one of 28, 64, 128, 224. Got .*, 65"),
        (("image_size = 64", "image_size = -28"), r"'image_size' must be one of 28, 64, 128, 224. Got"),
        # Names.
        (
            ('"gaps"', '"../up"'),
            r"'name' must be 1 to 80 letters.*folders are named after it. Got text, '../",
        ),
        (('"gaps"', '"paper"'), r"'name' must be no name of a built-in suite that says something else; ch"),
        (('"hybrid"]', '"hybird"]'), r"In mine.toml, models\[1\]: The model 'hybird' .*mean 'hybrid'\?"),
        (('"paper-F6"', '"paper-F8"'), r"mine.toml, scenarios\[0\]: The scenario 'paper-F8' .*Did you mean"),
        (('"gradient"', '"gradeint"'), r"mine.toml, methods\[0\]: The method 'gradeint' .*mean 'gradient'\?"),
        (("(n_points", "(n_pionts"), r"methods\[1\]: The lime option 'n_pionts' .*Did you mean 'n_points'\?"),
        (("(n_points=1000)", "("), r"methods\[1\]: The method 'lime\(' must be written as name"),
        (("1000", "{[]: 1}"), r"methods\[1\]: The option 'n_points' of method 'lime.* must be a number"),
        (('"mine:norm"', '"mine:"'), r"methods\[2\]: A function of your own must be written as module:func"),
        (('"organ-ac"', '"organac"'), r"images\[1\]: The image source 'organac' .*Did you mean 'organ-ac'\?"),
        (('"pca"', '"pac"'), r"In mine.toml, features: The value 'pac' is unknown. Did you mean 'pca'\?"),
        (
            ('"missing-mar"', '"mising-*"'),
            r"scenarios\[1\]: The pattern 'mising-\*' must match .*Got no match",
        ),
        # Nothing, and twice the same.
        (
            ('["oracle", "hybrid"]', "[]"),
            r"'models' must be an array of at least one name. Got an array, \[\]",
        ),
        (('["organamnist", "organ-ac"]', "[]"), r"'images' must be an array of at least one name"),
        (
            ('"hybrid"]', '"oracle"]'),
            r"'models\[1\]' must be a name that is given once; .*Got text, 'oracle'",
        ),
        (('"missing-mar"', '"paper-F6"'), r"'scenarios\[1\]' must be a name that is given once; drop the"),
        (('"gradient"', '"lime( n_points = 1000 )"'), r"'methods\[1\]' must be a name that is given once"),
        # What does not go together.
        (('"organ-ac"', '"phantom"'), r"mine.toml, features: The 'features' of phantom images must be"),
        (('"missing-mar"', '"lesion"'), r"scenarios\[1\]: Scenario 'lesion' needs rendered images"),
        (('"missing-mar"', '"mine.toml"'), r"scenarios\[1\]: The scenario file mine.toml cannot be read"),
    ],
)
def test_a_mistake_is_named_by_its_place(change, message):
    old, new = change
    assert old in EVERYTHING
    with pytest.raises(ValueError, match=message) as caught:
        suite_from_toml(EVERYTHING.replace(old, new, 1), origin="mine.toml")
    assert str(caught.value).startswith("In mine.toml")
    assert "\n" not in str(caught.value)


def test_too_few_phantoms_are_found_without_drawing_any(tmp_path):
    with pytest.raises(ValueError, match=r"mine, patients: .* at least 16 in each split. Got 100"):
        suite_from_toml(SMALL + "patients = 100", origin="mine")
    bare = synthetic.Scenario("bare", "d", (synthetic.Term(("axial/0",)),))
    synthetic.save_scenario(bare, tmp_path / "bare.toml")
    text = SMALL.replace("xor", "bare.toml")
    with pytest.raises(ValueError, match=r"mine, scenarios: The number of patients 'n' must be given for ph"):
        suite_from_toml(text, origin="mine", folder=tmp_path)
    assert suite_from_toml(text + "patients = 400", folder=tmp_path).n_patients == 400


def test_mistakes_around_scenario_files(tmp_path):
    path = tmp_path / "xor.toml"
    synthetic.save_scenario(synthetic.scenario("xor"), path)
    for both in ('["xor.toml", "xor"]', '["./xor.toml", "xor.toml"]', '["xor", "xor.toml"]'):
        text = SMALL.replace('"xor"', both)
        with pytest.raises(ValueError, match=r"scenarios\[1\]: .*distinct names. Got 'xor' again; drop it"):
            suite_from_toml(text, folder=tmp_path)
    text = SMALL.replace("xor", "xor.toml") + 'images = "organamnist"'
    with pytest.raises(ValueError, match=r"'images' must be left out where every scenario is a file"):
        suite_from_toml(text, folder=tmp_path)
    path.write_text(path.read_text().replace("function", "funtion"))
    with pytest.raises(ValueError, match=r"In .*xor.toml, terms\[0\].*: The key 'funtion' is unknown"):
        suite_from_toml(SMALL.replace("xor", "xor.toml"), folder=tmp_path)


def test_reading_a_suite_imports_nothing(monkeypatch):
    monkeypatch.setattr("importlib.import_module", lambda name: pytest.fail(f"{name} was imported"))
    assert suite_from_toml(SMALL + 'methods = "this:d"').methods == ("this:d",)


@pytest.mark.parametrize("text", ["a = " + "[" * 5000, f"a = {'1' * 5000}", "\x00"])
def test_hostile_texts_are_refused(text):
    with pytest.raises(ValueError, match=r"In the TOML text: (this is not TOML|arrays and tables must not)"):
        suite_from_toml(text)


def test_files_that_cannot_be_read(tmp_path):
    path = tmp_path / "mine.toml"
    with pytest.raises(ValueError, match=r"suite file .*mine.toml cannot be read: No such file"):
        load_suite(path)
    path.write_bytes(b"name = '\xff'")
    with pytest.raises(ValueError, match=r"mine.toml must be UTF-8. Got byte 0xff at offset 8; save"):
        load_suite(path)
    path.write_bytes(b" " * (2**20 + 1))
    with pytest.raises(ValueError, match=r"mine.toml must have at most 1,048,576 bytes. Got more"):
        load_suite(path)
    path.write_text("name = 'a'\nmodels = 'oracle'")
    with pytest.raises(ValueError, match=r"In .*mine.toml: 'scenarios' must be given"):
        load_suite(path)


def test_texts_of_all_kinds_come_back():
    text = 'tab\t "quote" \\ back\r\nline \x00\x1f\x7f\x85 é 🙂 #= [x] \u2028'
    found = replace(suite_from_toml(SMALL), description=text)
    assert suite_from_toml(suite_to_toml(found)) == found
    with pytest.raises(ValueError, match=r"suite 'small' must be writable as UTF-8. Got '\\ud800'; leave"):
        suite_to_toml(replace(found, description="\ud800"))


def some(names):
    return st.lists(st.sampled_from(names), min_size=1, max_size=3, unique=True).map(tuple)


@settings(max_examples=50, deadline=None)
@given(
    st.builds(
        Suite,
        name=st.from_regex(r"[a-z][a-z0-9.-]{0,9}x", fullmatch=True),
        description=st.text(st.characters(exclude_categories=["Cs"]), max_size=12),
        scenarios=some(synthetic.scenarios("organamnist")),
        models=some(models.names()),
        n_seeds=st.integers(1, 10_000),
        n_patients=st.none() | st.integers(200, 10**7),
        images=some(("phantom", "organamnist", "organ-ac")),
        methods=st.just(()) | some(methods.names()),
        n_explained=st.integers(2, 10**7),
        image_size=st.none() | st.sampled_from([28, 64]),
    )
)
def test_any_suite_comes_back(drawn):
    assert suite_from_toml(suite_to_toml(drawn)) == drawn


TEXTS = [EVERYTHING, SMALL, *(suite_to_toml(it) for it in suite.SUITES.values())]
PIECES = [
    *("[", "]", "{", "}", '"', "'", "=", ",", ".", "\n", "#", "-", "0", "9", "e", "_", "*", "?", "(", ")"),
    *(
        "true",
        "nan",
        "inf",
        "0x7fffffffffffffff",
        "-5",
        "0.5",
        "''",
        "[]",
        "{}",
        "1979-05-27",
        "\\u0000",
        "é",
    ),
    *("images = 'phantom'\n", "features = 'lesion'\n", "patients = 9\n", "x.toml", "paper-*", "lesion"),
]


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_mutated_texts_give_a_suite_or_a_value_error(data):
    text = data.draw(st.sampled_from(TEXTS))
    for _ in range(data.draw(st.integers(1, 3))):
        start = data.draw(st.integers(0, len(text)))
        cut = data.draw(st.integers(0, 12))
        text = text[:start] + data.draw(st.sampled_from(PIECES) | st.text(max_size=3)) + text[start + cut :]
    try:
        found = suite_from_toml(text, origin="fuzz.toml")
    except ValueError as error:
        assert str(error).startswith("In fuzz.toml")  # noqa: PT017 - valid texts do not come here
        return
    assert suite_from_toml(suite_to_toml(found)) == found
    own = any(":" in name for name in found.methods)  # whether there is such a function is found in planning
    jobs = [] if own else suite.plan(found, n_seeds=1)
    assert own or {job.stage.model for job in jobs} == set(found.models)
