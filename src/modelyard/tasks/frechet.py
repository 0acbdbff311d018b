"""How far the distribution of generated samples is from that of real ones: the Fréchet distance of two normal
distributions that were fitted to their features (Heusel et al. 2017, GANs trained by a two time-scale update rule,
section 3, with the features of a classifier of the data's own in the place of Inception's)."""

from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating[Any]]


def distance(found: Floats, real: Floats) -> float:
    """|m1 - m2|^2 + trace(C1 + C2 - 2 (C1 C2)^(1/2)), at least 0. Both [rows, features], each of a row or more, not
    the same rows. The figure falls as rows grow: compare what was measured on as many."""
    mean, other_mean = found.mean(axis=0, dtype=np.float64), real.mean(axis=0, dtype=np.float64)
    spread, other_spread = _covariance(found, mean), _covariance(real, other_mean)
    root = _root(spread)
    # C1 C2 has the eigenvalues of C1^(1/2) C2 C1^(1/2), which is symmetric.
    cross = np.sqrt(np.clip(np.linalg.eigvalsh(root @ other_spread @ root), 0, None)).sum()
    gap = float(np.sum((mean - other_mean) ** 2))
    return max(0.0, gap + float(np.trace(spread) + np.trace(other_spread) - 2 * cross))


def halves(features: Floats) -> float:
    """The distance between the rows of even and of odd number: what a sampler that draws from the same distribution
    gets with half as many rows. NaN for a single row."""
    return distance(features[::2], features[1::2]) if len(features) > 1 else float("nan")


def _covariance(features: Floats, mean: Floats) -> npt.NDArray[np.float64]:
    centred = features.astype(np.float64) - mean
    return np.asarray(centred.T @ centred / max(1, len(centred) - 1))


def _root(matrix: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Of a symmetric matrix without negative eigenvalues."""
    values, vectors = np.linalg.eigh(matrix)
    return np.asarray((vectors * np.sqrt(np.clip(values, 0, None))) @ vectors.T)
