"""Linear mixed models with random intercepts, by restricted maximum likelihood."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Codes = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Fit:
    """Estimates.

    Attributes
    ----------
    estimate : ndarray, shape (k,)
        Coefficients.
    covariance : ndarray, shape (k, k)
        Covariance of the coefficients.
    spread : ndarray, shape (n_groups,)
        Standard deviation of each random intercept.
    residual : float
        Standard deviation of the residuals.
    converged : bool
        Whether the optimiser's own criterion was met.
    """

    estimate: Array
    covariance: Array
    spread: Array
    residual: float
    converged: bool


def reml(y: Array, matrix: Array, codes: Sequence[Codes]) -> Fit:
    """Fit fixed effects and crossed random intercepts.

    It is the fit of ``lme4::lmer``: coefficients and residual variance are profiled out of the deviance,
    which leaves the standard deviations of the intercepts relative to that of the residuals.
    ``statsmodels.MixedLM`` is wrong where one of them is 0, and says that it has converged.

    Parameters
    ----------
    y : ndarray, shape (n,)
        Observations, which do not all follow from `matrix`.
    matrix : ndarray, shape (n, k)
        Predictors of the fixed effects, of full rank.
    codes : sequence of ndarray, shape (n,)
        Level of each random intercept, counted from 0.

    References
    ----------
    Bates, D., Mächler, M., Bolker, B., & Walker, S. (2015). Fitting linear mixed-effects models using lme4.
    *Journal of Statistical Software*, 67(1), section 3.
    """
    from scipy import linalg, optimize

    indicators = [np.eye(int(code.max()) + 1)[code] for code in codes]
    z = np.hstack(indicators)
    group = np.repeat(np.arange(len(codes)), [one.shape[1] for one in indicators])
    # A unit of about the size of the observations, so that no sum of squares is tiny.
    unit = float(y.std()) or 1.0
    y = y / unit
    zz, zx, zy, xx, xy, yy = z.T @ z, z.T @ matrix, z.T @ y, matrix.T @ matrix, matrix.T @ y, float(y @ y)
    freedom = len(y) - matrix.shape[1]

    def profiled(theta: Array) -> tuple[float, Array, Array, float]:
        scale = theta[group]
        lower = np.linalg.cholesky(scale[:, None] * zz * scale + np.eye(len(scale)))
        left = linalg.solve_triangular(lower, np.column_stack([scale[:, None] * zx, scale * zy]), lower=True)
        rzx, cu = left[:, :-1], left[:, -1]
        information = xx - rzx.T @ rzx
        beta = np.linalg.solve(information, xy - rzx.T @ cu)
        square = max(yy - float(cu @ cu) - float(beta @ (xy - rzx.T @ cu)), 1e-300)
        deviance = 2 * np.log(np.diag(lower)).sum() + np.linalg.slogdet(information)[1]
        return float(deviance + freedom * np.log(square)), beta, information, square / freedom

    bounds = [(0.0, None)] * len(codes)
    tries = [
        optimize.minimize(
            lambda theta: profiled(theta)[0],
            np.full(len(codes), start),
            jac="3-point",
            method="L-BFGS-B",
            bounds=bounds,
            options={"ftol": 1e-13, "gtol": 1e-6},
        )
        for start in (1.0, 0.1)
    ]
    best = min(tries, key=lambda one: float(one.fun))
    _, beta, information, variance = profiled(best.x)
    residual = float(np.sqrt(variance)) * unit
    covariance = np.asarray(residual**2 * np.linalg.inv(information), dtype=np.float64)
    return Fit(beta * unit, covariance, best.x * residual, residual, bool(best.success))
