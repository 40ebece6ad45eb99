from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from synthetic.seeding import derive_seed, numpy_rng, torch_rng

parts = st.lists(st.one_of(st.text(max_size=5), st.integers(-(2**70), 2**70)), max_size=4)


def test_seeds_are_pinned():
    # A change here changes every dataset, and so every committed result.
    assert derive_seed("clinical", 0) == 8340177543406146231
    assert derive_seed("training", "hybrid", 7) == 9063298761785073267
    assert numpy_rng("clinical", "train", 0).integers(1000, size=4).tolist() == [789, 821, 476, 351]


def test_seeds_are_the_same_in_another_process():
    code = "from synthetic.seeding import derive_seed; print(derive_seed('é', 3))"
    result = subprocess.run(  # noqa: S603 - this interpreter
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[2],
        env={**os.environ, "PYTHONHASHSEED": "7"},
    )
    assert int(result.stdout) == derive_seed("é", 3)


@given(parts, parts)
def test_only_equal_names_give_equal_seeds(one, other):
    assert (derive_seed(*one) == derive_seed(*other)) == (one == other)


@given(parts)
def test_a_seed_fits_every_generator(names):
    assert 0 <= derive_seed(*names) < 2**63
    numpy_rng(*names)
    torch_rng(*names)


def test_numbers_and_words_are_told_apart():
    assert derive_seed("a", 1) != derive_seed("a", "1")
    assert derive_seed("ab") != derive_seed("a", "b")


@pytest.mark.parametrize("whole", [np.int64(3), np.uint8(3), torch.tensor(3)])
def test_whole_numbers_of_numpy_and_torch_are_the_same_seed(whole):
    assert derive_seed("data", whole) == derive_seed("data", 3)


def test_what_is_no_name_and_no_whole_number_is_refused():
    with pytest.raises(TypeError):
        derive_seed("data", np.ones(2))
    with pytest.raises(TypeError):
        derive_seed("data", None, object())


def test_streams_do_not_depend_on_each_other():
    first = numpy_rng("clinical", 0).standard_normal(2000)
    numpy_rng("images", 0).standard_normal(10)
    np.testing.assert_array_equal(numpy_rng("clinical", 0).standard_normal(2000), first)
    for others in (("clinical", 1), ("images", 0)):
        correlation = np.corrcoef(first, numpy_rng(*others).standard_normal(2000))[0, 1]
        assert abs(correlation) < 0.1
    torch_first = torch.randn(2000, generator=torch_rng("clinical", 0))
    assert torch.equal(torch.randn(2000, generator=torch_rng("clinical", 0)), torch_first)
    other = torch.randn(2000, generator=torch_rng("clinical", 1))
    assert abs(torch.corrcoef(torch.stack([torch_first, other]))[0, 1]) < 0.1


def test_the_global_generators_are_left_alone():
    state, legacy = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    torch.randn(3, generator=torch_rng("a"))
    numpy_rng("a").standard_normal(3)
    assert torch.equal(torch.get_rng_state(), state)
    np.testing.assert_array_equal(np.random.get_state()[1], legacy)  # noqa: NPY002
