"""Networks do collapse to one modality on the scenario that is made for it, and need not."""

from __future__ import annotations

import pytest
import torch

import synthetic
from benchmark.training import fidelity, fit
from synthetic.types import Samples


def accuracy(network, samples):
    return fidelity(network, samples, torch.randn(len(samples))).accuracy


def cost_of_permuting(network, samples, modality, *, n_permutations=5):
    """Return the accuracy that is lost where patients swap one modality."""
    generator = torch.Generator().manual_seed(0)
    left = []
    for _ in range(n_permutations):
        rows = torch.randperm(len(samples), generator=generator)
        swapped = {**samples.inputs, modality: samples.inputs[modality][rows]}
        left.append(accuracy(network, Samples(swapped, samples.labels)))
    return accuracy(network, samples) - sum(left) / n_permutations


@pytest.mark.slow
def test_joint_training_drops_an_image_that_is_learnt_alone():
    dataset = synthetic.generate(synthetic.scenario("collapse-trap"), seed=0)
    train, test, truth = dataset.train, dataset.test, dataset.truth["permutation"].raw
    joint, alone = fit("hybrid", train, seed=0), fit("unimodal(modality=axial)", train, seed=0)
    assert cost_of_permuting(joint, test, "axial") < truth["axial"] / 10
    assert cost_of_permuting(joint, test, "clinical_a") > truth["clinical_a"] / 2
    assert cost_of_permuting(alone, test, "axial") > truth["axial"] / 2
    # The table does not keep the network from learning the image: the second image does, which is idle.
    few = [
        Samples({name: it.inputs[name] for name in ("axial", "clinical_a")}, it.labels)
        for it in (train, test)
    ]
    assert cost_of_permuting(fit("hybrid", few[0], seed=0), few[1], "axial") > truth["axial"] / 2
    # So the network that sees everything is worse than the one that sees the image alone.
    assert accuracy(alone, test) > accuracy(joint, test)
