"""What the closed forms have in common: a regularised inverse, and a diagonal held at zero."""

import numpy as np
import numpy.typing as npt
from scipy.linalg import lapack
from threadpoolctl import threadpool_limits

Reals = npt.NDArray[np.float64]


def inverted(gram: Reals, *, l2: float) -> Reals:
    """Return the inverse of a Gram matrix, after `l2` times its mean diagonal was added to its diagonal.

    Raises:
        ValueError: the sum is not positive definite.
    """
    strengthened = gram + np.diag(np.full(len(gram), l2 * np.trace(gram) / max(len(gram), 1)))
    # Threads of LAPACK that wait for a core another process has make this a hundred times slower.
    with threadpool_limits(limits=1, user_api="blas"):
        factor, failed = lapack.dpotrf(strengthened, lower=True, overwrite_a=True)
        if failed:
            raise ValueError(f"the Gram matrix of {len(gram)} items is not positive definite with l2 = {l2:g}")
        half, _ = lapack.dpotri(factor, lower=True, overwrite_c=True)
    lower = np.tril(half)
    inverse: Reals = lower + np.tril(lower, -1).T
    return inverse


def zero_diagonal(inverse: Reals, table: Reals) -> Reals:
    """Return the best table with a zero diagonal, given the best without that constraint (Steck 2019, equation 8)."""
    return table - inverse * (np.diag(table) / np.diag(inverse))
