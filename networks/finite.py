"""`Guard`: NaN and infinity stop a training where they come up, with the batch and column named."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import Tensor

from networks.forecast import Forecast
from networks.windows import Batch


class Guard:
    """Looks at inputs, losses and gradients, and names what is wrong with them.

    Args:
        feature_names: of the columns of the panel. symbols: of its assets; numbers where not given.
    """

    def __init__(self, feature_names: Sequence[str] = (), symbols: Sequence[str] = ()) -> None:
        self.feature_names, self.symbols = tuple(feature_names), tuple(symbols)

    def column(self, k: int) -> str:
        return f"column {self.feature_names[k] if self.feature_names else k}"

    def asset(self, k: int) -> str:
        return f"asset {self.symbols[k] if self.symbols else k}"

    def inputs(self, batch: Batch, where: str) -> None:
        """Refuses windows with a number that is not finite.

        Args:
            where: the batch in words.

        Raises:
            ValueError: naming the batch, the row of the panel, the asset and the column.
        """
        x = batch.x
        # A sum is one pass without a temporary; one that overflows is looked at again.
        if torch.isfinite(x.sum()):
            return
        wrong = ~torch.isfinite(x)
        if not wrong.any():
            return
        window, back, asset, column = wrong.nonzero()[0].tolist()
        row = int(batch.rows[window]) - x.shape[1] + 1 + back
        raise ValueError(
            f"{where}: the features are {float(x[window, back, asset, column])} at row {row}, "
            f"{self.asset(asset)}, {self.column(column)}, and {int(wrong.sum())} cell(s) of the "
            "batch are not finite; mend that column or leave it out (features=...)"
        )

    def loss(
        self, total: Tensor, parts: Mapping[str, Tensor], forecast: Forecast, batch: Batch, at: str
    ) -> None:
        """Refuses a loss that is not finite.

        Args:
            total: the loss. parts: of each head. forecast: what came out. at: the batch in words.

        Raises:
            ValueError: naming the batch, the head and, where one is to blame, the row and asset,
                with the column of its largest feature.
        """
        if torch.isfinite(total):
            return
        heads = [head for head, value in parts.items() if not torch.isfinite(value)]
        named = (
            f"{at}: the loss is {float(total.detach())} (heads: {', '.join(heads) or 'their sum'})"
        )
        for what, tensor in (
            *(("forecast " + key, value) for key, value in forecast._asdict().items()),
            (
                "target expected_return",
                torch.nan_to_num(
                    batch.expected_return, nan=0.0, posinf=torch.inf, neginf=-torch.inf
                ),
            ),
            (
                "target log_volatility",
                torch.nan_to_num(
                    batch.log_volatility, nan=0.0, posinf=torch.inf, neginf=-torch.inf
                ),
            ),
        ):
            wrong = ~torch.isfinite(tensor)
            if wrong.any():
                window, asset = wrong.nonzero()[0].tolist()[:2]
                raise ValueError(
                    f"{named}: {what} is not finite at {self._suspect(batch, window, asset)}"
                )
        largest = torch.stack([_by_cell(value.detach()) for value in forecast]).amax(dim=0)
        window, asset = divmod(int(largest.argmax()), largest.shape[1])
        raise ValueError(
            f"{named}; the largest forecast, {float(largest.max()):.3g}, is at "
            f"{self._suspect(batch, window, asset)}"
        )

    def gradients(
        self, norm: Tensor, parameters: Iterable[tuple[str, Tensor]], batch: Batch, where: str
    ) -> None:
        """Refuses gradients that are not finite.

        Args:
            norm: of all gradients together. parameters: with their names.

        Raises:
            ValueError: naming the batch, the parameter and the column of its largest feature.
        """
        if torch.isfinite(norm):
            return
        names = [
            name
            for name, p in parameters
            if p.grad is not None and not torch.isfinite(p.grad).all()
        ]
        flat = int(batch.x.abs().amax(dim=(1, 3)).argmax())
        window, asset = divmod(flat, batch.x.shape[2])
        raise ValueError(
            f"{where}: the gradient of {names[0] if names else 'all parameters'} is not finite, of "
            f"{len(names)} parameter(s); the largest inputs are at "
            f"{self._suspect(batch, window, asset)}"
        )

    def _suspect(self, batch: Batch, window: int, asset: int) -> str:
        """A window in words, with its largest feature and the remedy."""
        x = batch.x[window, :, asset]
        back, column = divmod(int(x.abs().argmax()), x.shape[1])
        return (
            f"row {int(batch.rows[window])}, {self.asset(asset)}, whose largest feature is "
            f"{self.column(column)} with {float(x[back, column]):.3g}; {REMEDY}"
        )


def _by_cell(value: Tensor) -> Tensor:
    """`[B, A]` the largest absolute number of each window and asset."""
    return value.float().abs().flatten(2).amax(dim=2) if value.dim() > 2 else value.float().abs()


REMEDY = "lower learning_rate, set gradient_clip, or scale the features"
