"""What a method, or the harness, raises to end a method without a result."""

from __future__ import annotations


class NotApplicableError(Exception):
    """A method cannot say anything about this model or these samples, and that is no mistake.

    Raise it with the reason (``"needs an image"``, ``"enumerates 2^n subsets: at most 10 modalities"``): the
    result counts as skipped, not as failed.
    """


class BudgetError(Exception):
    """A method asked for more model calls than it was given; the harness raises it."""
