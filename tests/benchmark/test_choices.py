"""A board names what a publication leaves open."""

import inspect

import pytest

import methods
from benchmark.report.choices import choices_note

HEAD = "Chosen where publications differ:"


def test_defaults_and_what_was_asked_for_are_named():
    note = choices_note(["gradient", "modality_contribution", "truth", "modality_contribution(patches=1)"])
    assert note == f"{HEAD} modality_contribution: replacement=mean, pooling=sum."
    other = "modality_contribution(pooling=patient, replacement=own_mean)"
    assert choices_note(["modality_contribution", other]) == (
        f"{HEAD} modality_contribution: replacement=mean, pooling=sum; "
        "modality_contribution: replacement=own_mean, pooling=patient."
    )


@pytest.mark.parametrize(
    "name",
    [
        "gradient",
        "random",
        "not_there",
        "no.such.module:function",
        "modality_contribution(filling=0)",
        "modality_contribution(",
    ],
)
def test_what_is_not_known_is_passed_over(name):
    assert choices_note([name]) == ""


@pytest.mark.parametrize("name", methods.names())
def test_methods_state_options_that_they_have(name):
    method = methods.get(name)
    assert set(method.stated) <= set(inspect.signature(method.function).parameters)
    assert list(method.choices) == list(method.stated)
