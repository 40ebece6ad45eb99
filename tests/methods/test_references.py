import pytest
import torch

from methods.references import reference_vector


def test_the_mean_or_zeros():
    features = torch.tensor([[1.0, 2.0], [3.0, 6.0]])
    assert reference_vector(features, "mean").tolist() == [2, 4]
    assert reference_vector(features, "zero").tolist() == [0, 0]
    with pytest.raises(ValueError, match=r"'reference' must be one of mean, zero. Got 'black'"):
        reference_vector(features, "black")
