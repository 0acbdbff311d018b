"""Timestamps as numbers that a model can use."""

from typing import Final

import numpy as np
import numpy.typing as npt

Matrix = npt.NDArray[np.float64]
PARTS: Final = ("days", "month", "weekday", "hour")
"""Days since 1970, month from 1, weekday from 0 (Monday), hour; UTC."""


def parts(seconds: Matrix) -> Matrix:
    """[rows, columns] of seconds since the epoch (UTC) into [rows, columns * PARTS]; NaN stays."""
    known = np.isfinite(seconds) & (np.abs(seconds) < 1e12)
    whole = np.where(known, seconds, 0).astype(np.int64)
    days, second = np.divmod(whole, 86_400)
    months = days.astype("datetime64[D]").astype("datetime64[M]").astype(np.int64) % 12 + 1
    found = np.stack([days, months, (days + 3) % 7, second // 3600], axis=2).astype(np.float64)
    found[~known] = np.nan
    return found.reshape(len(seconds), seconds.shape[1] * len(PARTS))
