"""Attention from tokens to tokens (Vaswani et al. 2017), and the small network that follows it."""

from __future__ import annotations

from torch import Tensor, nn


class Attention(nn.Module):
    """Multi-head attention of normalised queries to a context, queries without offsets.

    The context is not normalised: over the columns of a table, layer normalisation would take out their sum.

    Args:
        width: of the queries and of what comes back.
        context_width: of the tokens that are read; None for those of the queries themselves.
        n_heads: number of heads.
    """

    def __init__(self, width: int, *, context_width: int | None = None, n_heads: int = 2) -> None:
        super().__init__()
        self.n_heads = n_heads
        self.norm = nn.LayerNorm(width)
        self.query = nn.Linear(width, width, bias=False)
        self.read = nn.Linear(width if context_width is None else context_width, 2 * width)
        self.out = nn.Linear(width, width)

    def forward(self, tokens: Tensor, context: Tensor | None = None, there: Tensor | None = None) -> Tensor:
        """Return what is to be added to the tokens ``[n, tokens, width]``.

        Args:
            tokens: ``[n, tokens, width]``.
            context: ``[n, k, context width]``; None for the tokens themselves.
            there: which tokens of the context may be read ``[n, k]``, at least one a sample; None for all.
        """
        normal = self.norm(tokens)
        keys, values = self.read(normal if context is None else context).chunk(2, dim=-1)
        mask = None if there is None else there[:, None, None, :]
        attended = nn.functional.scaled_dot_product_attention(
            self._heads(self.query(normal)), self._heads(keys), self._heads(values), attn_mask=mask
        )
        return self.out(attended.transpose(1, 2).flatten(2))

    def _heads(self, tokens: Tensor) -> Tensor:
        """Return ``[n, heads, tokens, width / heads]``."""
        return tokens.unflatten(-1, (self.n_heads, -1)).transpose(1, 2)


def feed_forward(width: int) -> nn.Sequential:
    """Return width→2·width→width with layer normalisation first."""
    return nn.Sequential(
        nn.LayerNorm(width), nn.Linear(width, 2 * width), nn.ReLU(), nn.Linear(2 * width, width)
    )
