import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from methods import evaluation


class Recorder:
    """A model that passes calls on and keeps the number of rows of each."""

    def __init__(self, model):
        self.groups, self.modalities, self._model = model.groups, model.modalities, model
        self.encoded, self.classified, self.with_gradient = [], [], []

    def encode(self, inputs):
        self.encoded.append(len(next(iter(inputs.values()))))
        self.with_gradient.append(torch.is_grad_enabled())
        return self._model.encode(inputs)

    def classify(self, features):
        self.classified.append(len(features))
        self.with_gradient.append(torch.is_grad_enabled())
        return self._model.classify(features)


@given(n=st.integers(0, 50), size=st.integers(1, 60))
def test_chunks_cover_every_row_once_and_in_order(n, size):
    parts = [list(range(n))[rows] for rows in evaluation.chunks(n, size)]
    assert [row for part in parts for row in part] == list(range(n))
    assert all(1 <= len(part) <= size for part in parts)


def test_encode_gives_what_one_call_gives_in_bounded_calls(network, samples, monkeypatch):
    monkeypatch.setattr(evaluation, "ENCODE_ROWS", 16)
    recorder = Recorder(network)
    with torch.no_grad():
        expected = network.encode(samples.inputs)
    torch.testing.assert_close(evaluation.encode(recorder, samples.inputs), expected)
    assert recorder.encoded == [16, 16, 8]
    assert not any(recorder.with_gradient)


def test_probabilities_are_the_softmax_of_the_logits_in_bounded_calls(network, monkeypatch):
    monkeypatch.setattr(evaluation, "CLASSIFY_ROWS", 7)
    recorder = Recorder(network)
    features = torch.randn(20, 25, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        odds = network.classify(features).double().exp()
    result = evaluation.probabilities(recorder, features)
    torch.testing.assert_close(result.double(), odds / odds.sum(1, keepdim=True), atol=1e-6, rtol=0)
    assert recorder.classified == [7, 7, 6]
    assert not any(recorder.with_gradient)


def test_target_is_class_1_of_two_and_the_likeliest_of_more():
    assert evaluation.targets(torch.tensor([[0.9, 0.1], [0.2, 0.8]])).tolist() == [1, 1]
    three = torch.tensor([[0.5, 0.3, 0.2], [0.1, 0.2, 0.7], [0.2, 0.6, 0.2]])
    assert evaluation.targets(three).tolist() == [0, 2, 1]


def test_target_probabilities_keep_copies_with_their_sample(kit):
    model = kit.network({"a": (3,), "b": (2,)}, n_classes=3)
    copies = torch.randn(4, 6, 5, generator=torch.Generator().manual_seed(0))
    target = torch.tensor([2, 0, 1, 2])
    with torch.no_grad():
        expected = [
            [model.classify(copy[None]).softmax(1)[0, target[i]].item() for copy in copies[i]]
            for i in range(4)
        ]
    result = evaluation.target_probabilities(model, copies, target)
    np.testing.assert_allclose(result, expected, atol=1e-6)


def test_fusion_features_come_with_the_class_that_is_explained(kit):
    shapes = {"a": (1, 28, 28), "b": (2,)}
    model = kit.network(shapes, n_classes=3)
    samples = kit.samples(shapes, n=9)
    features, target = evaluation.fusion_features(model, samples)
    with torch.no_grad():
        expected = model.encode(samples.inputs)
        torch.testing.assert_close(features, expected)
        assert target.tolist() == model.classify(expected).argmax(1).tolist()
    assert len(set(target.tolist())) > 1


def test_torch_generator_follows_the_numpy_generator():
    def draws(seed, n):
        rng = np.random.default_rng(seed)
        return [torch.rand(3, generator=evaluation.torch_generator(rng)).tolist() for _ in range(n)]

    assert draws(0, 2) == draws(0, 2)
    assert draws(0, 2)[0] != draws(0, 2)[1]
    assert draws(0, 1) != draws(1, 1)
