"""Early stopping: end when the loss that is watched no longer falls (Prechelt 1998, Early Stopping - But
When?)."""

from typing import Annotated

import msgspec


class EarlyStopping(msgspec.Struct, frozen=True, kw_only=True):
    """Stop after `patience` epochs in which the validation loss (the training loss, where there is no
    validation split) has not fallen by `min_delta`. The weights of the best epoch are kept."""

    patience: Annotated[int, msgspec.Meta(ge=1)] = 5
    min_delta: Annotated[float, msgspec.Meta(ge=0)] = 0.0


class StopState(msgspec.Struct, kw_only=True):
    """The best loss so far, its epoch (from 1), and the epochs since without progress."""

    best: float | None = None
    best_epoch: int = 0
    waited: int = 0

    def observe(self, epoch: int, loss: float, min_delta: float) -> bool:
        """Tell the loss of an epoch that has ended. True where it is the best so far."""
        if self.best is None or loss < self.best - min_delta:
            self.best, self.best_epoch, self.waited = loss, epoch, 0
            return True
        self.waited += 1
        return False
