"""How well logits tell the classes of samples: accuracy, AUROC, log loss."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor


class Performance(NamedTuple):
    """What logits are worth.

    Attributes:
        accuracy: share of right labels.
        auroc: area under the receiver operating characteristic; the mean over classes against the rest where
            there are three or more.
        log_loss: mean −log₂ of the probability of the right class, in bits; that of the Bayes classifier is
            the label's entropy given what it knows.
    """

    accuracy: float
    auroc: float
    log_loss: float


def performance(logits: Tensor, labels: Tensor) -> Performance:
    """Return what logits ``[n, classes]`` are worth against class indices ``[n]``.

    Raises:
        ValueError: if the labels lack a class: there is no AUROC then.

    Example:
        >>> performance(torch.tensor([[1.0, 0.0], [0.0, 1.0]]), torch.tensor([0, 1])).accuracy
        1.0
    """
    from sklearn.metrics import roc_auc_score  # noqa: PLC0415 - slow to load, and needed only here

    logits = logits.double()
    n_classes = logits.shape[1]
    found = labels.unique().tolist()
    if len(found) < n_classes:
        raise ValueError(
            f"The 'test' samples must hold each of the {n_classes} classes. Got {len(labels):,} samples of "
            f"the classes {found}; ask for more patients, or for less rare classes."
        )
    if n_classes == 2:
        auroc = roc_auc_score(labels.numpy(), (logits[:, 1] - logits[:, 0]).numpy())
    else:
        auroc = roc_auc_score(
            labels.numpy(), logits.softmax(1).numpy(), multi_class="ovr", labels=np.arange(n_classes)
        )
    nats = torch.nn.functional.cross_entropy(logits, labels)
    return Performance(
        accuracy=float((logits.argmax(1) == labels).double().mean()),
        auroc=float(auroc),
        log_loss=float(nats / np.log(2)),
    )
