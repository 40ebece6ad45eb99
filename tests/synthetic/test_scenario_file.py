from __future__ import annotations

import dataclasses
import json
import math
import tomllib
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import synthetic
from synthetic.clinical import VARIABLES, Table
from synthetic.decision import FUNCTIONS, Term
from synthetic.labels import Labels
from synthetic.margins import Margin
from synthetic.missing import Missing
from synthetic.scenario import Scenario
from synthetic.scenario_file import from_toml, load_scenario, save_scenario, to_toml

EVERYTHING = """\
name = "liver-and-lab"
description = "the liver and a laboratory value"
expected = "nothing, this is an example"
image_size = 64
n = 4000

[labels]
prevalence = 0.05
noise = 0.1

[tables]
clinical_a = 10
labs = ["age", "sex", "alt", "crp"]
heavy = { columns = 10, margin = "lognormal", parameters = [1.0] }

[[terms]]
features = ["image_1/*"]
function = "tanh"
coefficients = 0.3
times = { features = ["labs/alt"] }

[[terms]]
features = ["image_2/0", "image_2/1"]
weight = -2.0
coefficients = [0.5, 1.0]
offset = 0.25

[[correlations]]
between = ["axial/liver_attenuation", "labs/alt"]
value = -0.4

[[missing]]
features = ["clinical_a/*"]
mechanism = "mcar"
rate = 0.3

[[missing]]
features = ["heavy/1"]
mechanism = "mar"
rate = 0.2
driver = "labs/crp"
strength = 2.0
"""

SMALL = """\
name = "small"
description = "d"
[[terms]]
features = "axial/0"
"""


def test_every_field_is_read():
    assert from_toml(EVERYTHING) == Scenario(
        name="liver-and-lab",
        description="the liver and a laboratory value",
        expected="nothing, this is an example",
        image_size=64,
        n=4000,
        labels=Labels(shares=(0.95, 0.05), noise=0.1),
        tables={
            "clinical_a": Table(10),
            "labs": Table(variables=("age", "sex", "alt", "crp")),
            "heavy": Table(10, margin=Margin("lognormal", (1.0,))),
        },
        terms=(
            Term(("image_1/*",), "tanh", coefficients=0.3) * Term(("labs/alt",)),
            Term(("image_2/0", "image_2/1"), weight=-2.0, coefficients=(0.5, 1.0), offset=0.25),
        ),
        correlations={("axial/liver_attenuation", "labs/alt"): -0.4},
        missing=(
            Missing(("clinical_a/*",), "mcar", rate=0.3),
            Missing(("heavy/1",), "mar", rate=0.2, driver="labs/crp", strength=2.0),
        ),
    )


def test_what_is_written_is_what_was_read():
    assert to_toml(from_toml(EVERYTHING)) == EVERYTHING


def test_the_shortest_file():
    assert from_toml(SMALL) == Scenario("small", "d", (Term(("axial/0",)),))


def test_other_forms_of_the_same():
    text = """
    name = "forms"
    description = "d"
    labels = { shares = [0.25, 0.25, 0.5], thresholds = [0, 1] }
    terms = [{ features = "image_1/0", weight = 2, times = { features = "a/0", times = { features = "b/0" }}}]
    correlations = [{ between = ["a/0", "b/0"], value = 0 }]
    [tables.a]
    columns = 2
    [tables.b]
    variables = "alt"
    """
    found = from_toml(text)
    assert found.tables == {"a": Table(2), "b": Table(variables=("alt",))}
    assert found.labels == Labels(shares=(0.25, 0.25, 0.5), thresholds=(0.0, 1.0))
    (term,) = found.terms
    assert [factor.features for factor in term.factors] == [("image_1/0",), ("a/0",), ("b/0",)]
    assert term.weight == 2.0
    assert from_toml(to_toml(found)) == found


@pytest.mark.parametrize("source", ["phantom", "organamnist", "organ-ac"])
def test_the_catalogue_comes_back(source):
    for name in synthetic.scenarios(source):
        scenario = synthetic.scenario(name, source=source)
        text = to_toml(scenario)
        again = from_toml(text)
        assert again == scenario
        assert list(again.tables) == list(scenario.tables)
        assert to_toml(again) == text
        assert max(map(len, text.splitlines())) <= 120, name


numbers = st.floats(-1e300, 1e300) | st.sampled_from([0.1, 1 / 3, -0.0, 5e-324, 1e16])
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)


@st.composite
def terms(draw, depth=2):
    names = ("image_1/*", "image_2/3", "coronal/0", "t é/0", "t é/1", "b/*")
    features = tuple(draw(st.lists(st.sampled_from(names), min_size=1, max_size=3, unique=True)))
    coefficients = draw(st.none() | numbers | st.tuples(*[numbers] * len(features)))
    term = Term(features, draw(st.sampled_from(list(FUNCTIONS))), draw(numbers), coefficients, draw(numbers))
    return term * draw(terms(depth - 1)) if depth and draw(st.booleans()) else term


@settings(max_examples=100, deadline=None)
@given(
    st.lists(terms(), min_size=1, max_size=3),
    texts,
    st.lists(st.floats(0.01, 1), min_size=2, max_size=4),
    st.floats(0, 0.4),
    st.none() | st.integers(1, 10**6),
)
def test_any_scenario_comes_back(drawn, text, weights, noise, n):
    shares = tuple(weight / math.fsum(weights) for weight in weights)
    scenario = Scenario(
        "any",
        text,
        tuple(drawn),
        tables={"t é": 3, "b": Table(2, margin=Margin("student_t", (3.5,)))},
        labels=Labels(shares, noise),
        expected=text,
        n=n,
    )
    written = to_toml(scenario)
    assert from_toml(written) == scenario
    assert written == to_toml(from_toml(written))


def test_texts_of_all_kinds_come_back(tmp_path):
    text = 'tab\t "quote" \\ back\r\nline \x00\x1f\x7f\x85 é 🙂 #= [x] \u2028'
    scenario = dataclasses.replace(from_toml(SMALL), description=text)
    assert from_toml(to_toml(scenario)).description == text
    save_scenario(scenario, tmp_path / "file.toml")
    assert load_scenario(tmp_path / "file.toml") == scenario
    with pytest.raises(ValueError, match=r"scenario 'small' must be writable as UTF-8. Got '\\ud800'; leave"):
        to_toml(dataclasses.replace(scenario, description="\ud800"))


def test_long_arrays_are_broken_into_lines():
    features = tuple(f"clinical_a/{place}" for place in range(10))
    coefficients = tuple(place + 1 / 3 for place in range(10))
    long = Term(features, coefficients=coefficients)
    scenario = Scenario("long", "d", (long * Term(features, "tanh", coefficients=coefficients),))
    text = to_toml(scenario)
    assert max(map(len, text.splitlines())) <= 100
    assert "[terms.times]" in text
    assert from_toml(text) == scenario


def test_no_tables_is_not_the_default():
    scenario = Scenario("bare", "d", (Term(("axial/0",)),), tables={})
    assert "[tables]\n" in to_toml(scenario)
    assert from_toml(to_toml(scenario)).tables == {}
    reversed_tables = Scenario(
        "bare", "d", (Term(("axial/0",)),), tables={"clinical_b": 10, "clinical_a": 10}
    )
    assert list(from_toml(to_toml(reversed_tables)).tables) == ["clinical_b", "clinical_a"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        # Texts that are not TOML, and keys.
        (("[[terms]]", "[[terms]"), r"In mine.toml: this is not TOML: .*at line 16, column 8"),
        (('name = "l', 'name = "x"\nname = "l'), r"not TOML: Cannot overwrite a value \(at line 2"),
        (("name =", "nmae ="), r"In mine.toml: The key 'nmae' is unknown. Did you mean 'name'\?"),
        (("function =", "funtion ="), r"In mine.toml, terms\[0\]: The key 'funtion' .*mean 'function'\?"),
        (("noise = ", "niose = "), r"In mine.toml, labels: The key 'niose' .*mean 'noise'\?"),
        (("driver = ", "drivers = "), r"missing\[1\]: The key 'drivers' is unknown. Did you mean 'driver'\?"),
        (('"liver-and-lab"\n', '"x"\nid = 3\n'), r"The key 'id' is unknown. There are name, description, "),
        ((', margin = "log', ', margni = "log'), r"tables.heavy: The key 'margni' .*mean 'margin'\?"),
        (("value = -", "valeu = -"), r"correlations\[0\]: The key 'valeu' is unknown. Did you mean 'value'"),
        # What must be there.
        (('name = "liver-and-lab"\n', ""), r"In mine.toml: 'name' must be given. Got none; add it."),
        (('description = "the liver and a laboratory value"\n', ""), r"'description' must be given"),
        (('features = ["image_1/*"]\n', ""), r"'terms\[0\].features' must be given"),
        (('times = { features = ["labs/alt"] }', "times = {}"), r"'terms\[0\].times.features' must be given"),
        (("value = -0.4\n", ""), r"'correlations\[0\].value' must be given"),
        (('features = ["clinical_a/*"]\n', ""), r"'missing\[0\].features' must be given"),
        # Types.
        (('name = "liver-and-lab"', "name = 3"), r"'name' must be text in quotes. Got a whole number, 3."),
        (("n = 4000", "n = 4e3"), r"'n' must be a whole number. Got a number, 4000.0."),
        (("n = 4000", "n = true"), r"'n' must be a whole number. Got a truth value, True."),
        (("n = 4000", "n = 1999-01-01"), r"'n' must be a whole number. Got a date or time, 1999-01-01."),
        (("offset = 0.25", "offset = '0'"), r"'terms\[1\].offset' must be a number. Got text, '0'."),
        (
            ("offset = 0.25", "offset = nan"),
            r"'terms\[1\].offset' must be a finite number. Got a number, nan",
        ),
        (("offset = 0.25", "offset = -inf"), r"offset' must be a finite number. Got a number, -inf"),
        (("offset = 0.25", f"offset = {10**400}"), r"offset' must be a finite number. Got .*of 1329 bits"),
        (
            ("[0.5, 1.0]", "[0.5, true]"),
            r"'terms\[1\].coefficients\[1\]' must be a number. Got a truth value",
        ),
        (("= 0.3\n", '= ["a"]\n'), r"'terms\[0\].coefficients\[0\]' must be a number. Got text, 'a'."),
        (('["image_1/*"]', "[1]"), r"'terms\[0\].features\[0\]' must be text in quotes. Got a whole number"),
        (('["image_1/*"]', "{}"), r"'terms\[0\].features' must be an array.* Got a table"),
        (("clinical_a = 10", "clinical_a = '10'"), r"'tables.clinical_a' must be a whole number. Got text"),
        (("[labels]", "[[labels]]"), r"'labels' must be a table. Got an array"),
        (("[[correlations]]", "[correlations]"), r"'correlations' must be an array, each under \[\[corr"),
        (("rate = 0.3", "rate = []"), r"'missing\[0\].rate' must be a number. Got an array"),
        # Values.
        (('"tanh"', '"tan"'), r"In mine.toml, terms\[0\].function: The value 'tan' .*Did you mean 'tanh'"),
        (('"mcar"', '"macr"'), r"missing\[0\].mechanism: The value 'macr' .*mean 'mar'"),
        (('"lognormal"', '"log"'), r"tables.heavy.margin: The value 'log' is unknown. "),
        (("n = 4000", 'source = "phantoms"'), r"mine.toml, source: .*Did you mean 'phantom'\?"),
        (("n = 4000", 'features = "lesions"'), r"mine.toml, features: .*Did you mean 'lesion'\?"),
        (("[0.5, 1.0]", "[0.5]"), r"mine.toml, terms\[1\]: The 'coefficients' of a Term .*Got 1\."),
        (("noise = 0.1", "noise = 0.7"), r"mine.toml, labels: The 'noise' of Labels .*Got 0.7"),
        (("prevalence = 0.05", "prevalence = 1"), r"labels: The 'prevalence' must lie in \(0, 1\).* Got 1.0"),
        (("noise = 0.1", "shares = [0.5, 0.5]"), r"'prevalence' must .*stand in the place of 'shares'. Got"),
        (("[1.0] }", "[9.0] }"), r"mine.toml, tables.heavy: The 'parameters' of a lognormal Margin .*Got"),
        (('"sex"', '"six"'), r"tables.labs: The clinical variable 'six' is unknown. Did you mean 'sex'\?"),
        (("clinical_a = 10", "clinical_a = 0"), r"tables.clinical_a: A Table must have 'columns' \(at least"),
        (("clinical_a = 10", "axial = 10"), r"mine.toml: The 'tables' of scenario 'liver-and-lab' must have"),
        (("clinical_a = 10", "clinical_a = 9999999999"), r"at most 5,000 columns in all. Got 10,000,000,013"),
        (
            ("clinical_a = 10", f"clinical_a = 0x1{'0' * 9000}"),
            r"a whole number of 64 bits. Got .*36001 bits",
        ),
        (("n = 4000", "n = 1000000000000"), r"mine.toml: The number of patients 'n' of .*Got 1000000000000"),
        (("image_size = 64", "image_size = 65"), r"mine.toml: The 'image_size' of scenario .*Got 65"),
        (('"liver-and-lab"', '"../up"'), r"mine.toml: The 'name' of a Scenario .*Got '../up'"),
        (
            ("image_2/1", "image_2/10"),
            r"mine.toml: In scenario 'liver-and-lab': In term .*'image_2/10' is not",
        ),
        (("rate = 0.3", "rate = 1.0"), r"mine.toml, missing\[0\]: The 'rate' of Missing .*Got 1.0"),
        (('"labs/crp"', '"labs/sex"'), r"must have a normal margin, because it decides what is missing"),
        (("value = -0.4", "value = 1.4"), r"mine.toml: In scenario .*\(-1, 1\), without the ends. Got 1.4"),
        (('ation", "labs/alt"]', 'ation"]'), r"'correlations\[0\].between' must be two names. Got an array"),
    ],
)
def test_a_mistake_is_named_by_its_place(change, message):
    old, new = change
    text = EVERYTHING.replace(old, new, 1)
    assert text != EVERYTHING
    with pytest.raises(ValueError, match=message) as caught:
        from_toml(text, origin="mine.toml")
    assert str(caught.value).startswith("In mine.toml")
    assert "\n" not in str(caught.value)


def test_a_pair_that_is_given_twice_is_named():
    entry = '[[correlations]]\nbetween = ["clinical_a/0", "clinical_b/0"]\nvalue = 0.1\n'
    with pytest.raises(ValueError, match=r"'correlations\[1\].between' must be a pair that is given once"):
        from_toml(SMALL + entry + entry)
    swapped = '[[correlations]]\nbetween = ["clinical_b/0", "clinical_a/0"]\nvalue = 0.2\n'
    with pytest.raises(ValueError, match="must name every pair once"):
        from_toml(SMALL + entry + swapped)


@pytest.mark.parametrize("text", ["a = " + "[" * 5000, "a = " + "{a=" * 5000, f"a = {'1' * 5000}", "\x00"])
def test_hostile_texts_are_refused(text):
    with pytest.raises(ValueError, match=r"In the TOML text: (this is not TOML|arrays and tables must not)"):
        from_toml(text)


def test_products_without_end_are_refused():
    inner = "".join(f"[terms{'.times' * depth}]\nfeatures = 'axial/0'\n" for depth in range(1, 60))
    with pytest.raises(ValueError, match=r"a product has at most 50 factors\. Got a table"):
        from_toml(SMALL + inner)


def test_files(tmp_path):
    scenario = synthetic.scenario("fatty-liver")
    path = tmp_path / "mine.toml"
    save_scenario(scenario, path)
    assert load_scenario(path) == load_scenario(str(path)) == scenario
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n"))  # as some editors do
    assert load_scenario(path) == scenario
    # Written whole or not at all.
    with pytest.raises(ValueError, match="UTF-8"):
        save_scenario(dataclasses.replace(scenario, description="\ud800"), path)
    assert load_scenario(path) == scenario
    assert [entry.name for entry in tmp_path.iterdir()] == ["mine.toml"]


def test_files_that_cannot_be_read(tmp_path):
    path = tmp_path / "mine.toml"
    with pytest.raises(ValueError, match=r"scenario file .*mine.toml cannot be read: No such file"):
        load_scenario(path)
    with pytest.raises(ValueError, match=r"cannot be read: Is a directory"):
        load_scenario(tmp_path)
    path.write_bytes(b"name = '\xff'")
    with pytest.raises(ValueError, match=r"mine.toml must be UTF-8. Got byte 0xff at offset 8; save"):
        load_scenario(path)
    path.write_bytes(b" " * (2**20 + 1))
    with pytest.raises(ValueError, match=r"mine.toml must have at most 1,048,576 bytes. Got more"):
        load_scenario(path)
    path.write_text("name = 3")
    with pytest.raises(ValueError, match=r"In .*mine.toml: 'description' must be given"):
        load_scenario(path)


def outcome(text):
    """A scenario, or the message of the ValueError; anything else that is raised fails the test."""
    try:
        found = from_toml(text, origin="fuzz.toml")
    except ValueError as error:
        assert str(error).startswith("In fuzz.toml")  # noqa: PT017 - valid texts do not come here
        return str(error)
    assert from_toml(to_toml(found)) == found
    return found


TEXTS = [
    EVERYTHING,
    SMALL,
    *(to_toml(synthetic.scenario(name)) for name in ("gate", "three-classes", "lesion")),
]
PIECES = [
    *(
        "[",
        "]",
        "{",
        "}",
        '"',
        "'",
        "=",
        ",",
        ".",
        "\n",
        "#",
        "-",
        "0",
        "1",
        "9",
        "e",
        "_",
        "true",
        "nan",
        "inf",
    ),
    *("[[terms]]", "[terms.times]", "[tables]", "features", "times = { features = 'axial/1' }", "axial/*"),
    *(
        "1e400",
        "0x7fffffffffffffff",
        "-5",
        "0.5",
        "''",
        "[]",
        "{}",
        "clinical_a",
        "1979-05-27",
        "\\u0000",
        "é",
    ),
]


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_mutated_texts_give_a_scenario_or_a_value_error(data):
    text = data.draw(st.sampled_from(TEXTS))
    for _ in range(data.draw(st.integers(1, 3))):
        start = data.draw(st.integers(0, len(text)))
        cut = data.draw(st.integers(0, 12))
        text = text[:start] + data.draw(st.sampled_from(PIECES) | st.text(max_size=3)) + text[start + cut :]
    outcome(text)


def toml(value):
    """Write a value as TOML in one line; for strings, numbers and arrays that is JSON."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(key)} = {toml(entry)}" for key, entry in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(toml, value)) + "]"
    return repr(value) if isinstance(value, float) else json.dumps(value)


leaves = (
    st.none().map(lambda _: 0)
    | st.booleans()
    | st.integers(-3, 70)
    | st.floats(width=32)
    | st.sampled_from(["", "*", "axial/*", "image_1/0", "clinical_a/3", "tanh", "phantom", "mar", *VARIABLES])
)
values = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["features", "times", "n"]), inner)
    ),
    max_leaves=5,
)


def places(value, path=()):
    yield path
    entries = (
        value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    )
    for key, entry in entries:
        yield from places(entry, (*path, key))


def replaced(value, path, new):
    if not path:
        return new
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = replaced(copy[path[0]], path[1:], new)
    return copy


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_wrong_values_give_a_scenario_or_a_value_error(data):
    content: Any = tomllib.loads(data.draw(st.sampled_from(TEXTS)))
    for _ in range(data.draw(st.integers(1, 2))):
        path = data.draw(st.sampled_from([path for path in places(content) if path]))
        content = replaced(content, path, data.draw(values))
    outcome("\n".join(f"{key} = {toml(value)}" for key, value in content.items()))
