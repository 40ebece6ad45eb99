import torch

from methods.slopes import probability_slopes


def test_each_copy_gets_the_slope_of_its_samples_class(kit):
    model = kit.network({"a": (5,)}, n_classes=3)
    copies = torch.randn(4, 7, 5, generator=torch.Generator().manual_seed(0))
    target = torch.tensor([2, 0, 1, 2])
    found = probability_slopes(model, copies, target)
    for i in range(4):
        for j in range(7):
            row = copies[i, j : j + 1].clone().requires_grad_()
            model.classify(row).softmax(1)[0, target[i]].backward()
            torch.testing.assert_close(found[i, j], row.grad[0], atol=1e-6, rtol=1e-4)
    assert not copies.requires_grad
