"""Variance components of crossed random effects, by restricted maximum likelihood with exact gradients."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Codes = NDArray[np.int64]

LEAST = 1e-9
"""Smallest variance of the residual, where that of the observations is 1."""
SMALL = 1e-7
"""A variance that is not above this counts as none."""
LARGEST = 14.0
"""Logarithm of the largest variance that is tried."""
STEPS = 100
"""Most steps of a search."""
BEYOND = 1e10
"""Stands for the deviance of variances so unequal that its matrices cannot be inverted."""


@dataclass(frozen=True, slots=True)
class Fit:
    """Estimates; of variances, that of the residual comes last.

    Attributes
    ----------
    estimate : ndarray, shape (k,)
        Fixed effects.
    error : ndarray, shape (k, k)
        Their covariance.
    variance : ndarray, shape (n_components,)
    covariance : ndarray, shape (n_components, n_components)
        Of the variances, by the average information; 0 for those that are 0.
    low, high : ndarray, shape (n_components,)
        Profile-likelihood interval of each variance; missing if it was not asked for.
    converged : bool
        Whether the optimiser's own criterion was met.
    """

    estimate: Array
    error: Array
    variance: Array
    covariance: Array
    low: Array
    high: Array
    converged: bool


class Likelihood:
    """The restricted likelihood of a mixed model with random intercepts.

    Parameters
    ----------
    y : ndarray, shape (n,)
        Observations.
    matrix : ndarray, shape (n, k)
        Predictors of the fixed effects, of full rank.
    codes : sequence of ndarray, shape (n,)
        Level of each random intercept, counted from 0.
    """

    def __init__(self, y: Array, matrix: Array, codes: Sequence[Codes]) -> None:
        sizes = [int(code.max()) + 1 for code in codes]
        each = [np.eye(size)[code] for size, code in zip(sizes, codes, strict=True)]
        z = np.hstack([np.empty((len(y), 0)), *each])
        self.group = np.repeat(np.arange(len(codes)), np.array(sizes, dtype=np.int64))
        self.count = len(codes)
        self.zz, self.zxy = z.T @ z, z.T @ np.column_stack([matrix, y])
        self.xx, self.xy, self.yy = matrix.T @ matrix, matrix.T @ y, float(y @ y)
        self.freedom = len(y) - matrix.shape[1]

    def deviance(self, variance: Array) -> tuple[float, Array, Array]:
        """Minus twice the restricted log likelihood, without its constant.

        Parameters
        ----------
        variance : ndarray, shape (n_components,)
            Of the intercepts, and last of the residual.

        Returns
        -------
        value : float
        gradient : ndarray, shape (n_components,)
        information : ndarray, shape (n_components, n_components)
            The average information, about half of the second derivatives; never negative.

        Where the matrices cannot be inverted in floating point, the value is `BEYOND` and the gradient 0.

        References
        ----------
        Gilmour, A. R., Thompson, R., & Cullis, B. R. (1995). Average information REML. *Biometrics*, 51(4),
        1440-1450.
        """
        try:
            return self._deviance(variance)
        except np.linalg.LinAlgError:
            return BEYOND, np.zeros(len(variance)), np.eye(len(variance))

    def _deviance(self, variance: Array) -> tuple[float, Array, Array]:
        from scipy import linalg

        own, rest = variance[:-1], float(variance[-1])
        scale = np.sqrt(own / rest)[self.group]
        lower = np.linalg.cholesky(scale[:, None] * self.zz * scale + np.eye(len(scale)))
        left = linalg.solve_triangular(
            lower, scale[:, None] * np.hstack([self.zz, self.zxy]), lower=True, check_finite=False
        )
        t, tx, ty = left[:, : len(scale)], left[:, len(scale) : -1], left[:, -1]
        # Z'V⁻¹Z, Z'V⁻¹X and Z'V⁻¹y, where the residual variance is 1.
        zx, zy = self.zxy[:, :-1] - t.T @ tx, self.zxy[:, -1] - t.T @ ty
        information = self.xx - tx.T @ tx
        right = self.xy - tx.T @ ty
        inverse = np.linalg.inv(information)
        beta = inverse @ right
        square = max(self.yy - float(ty @ ty) - float(beta @ right), 1e-300)
        pull = zy - zx @ beta
        trace = self._sums(np.diag(self.zz) - (t**2).sum(axis=0) - ((zx @ inverse) * zx).sum(axis=1))
        pulls = self._sums(pull**2)
        slope = (trace - pulls / rest) / rest
        last = (self.freedom - square / rest - float(own @ slope)) / rest
        value = 2 * np.log(np.diag(lower)).sum() + np.linalg.slogdet(information)[1]
        value += self.freedom * np.log(rest) + square / rest
        gradient = np.append(slope, last)
        # The vectors V_k P y in terms of Z; that of the residual follows from P V P = P.
        each = np.zeros((len(scale), len(own)))
        each[np.arange(len(scale)), self.group] = pull
        te, xe = t @ each, zx.T @ each
        between = each.T @ (self.zz @ each) - te.T @ te - xe.T @ inverse @ xe
        whole = np.empty((len(variance), len(variance)))
        whole[:-1, :-1] = between / rest**3
        cross = (pulls / rest**2 - whole[:-1, :-1] @ own) / rest
        whole[:-1, -1] = whole[-1, :-1] = cross
        twice = (square / rest - float(own @ pulls) / rest**2) / rest
        whole[-1, -1] = (twice - float(cross @ own)) / rest
        return float(value), gradient, whole / 2

    def fixed(self, variance: Array) -> tuple[Array, Array]:
        """The fixed effects given the variances, shape (k,), and their covariance, shape (k, k)."""
        scale = np.sqrt(variance[:-1] / variance[-1])[self.group]
        lower = np.linalg.cholesky(scale[:, None] * self.zz * scale + np.eye(len(scale)))
        left = np.linalg.solve(lower, scale[:, None] * self.zxy)
        inverse = np.linalg.inv(self.xx - left[:, :-1].T @ left[:, :-1])
        return inverse @ (self.xy - left[:, :-1].T @ left[:, -1]), inverse * variance[-1]

    def _sums(self, values: Array) -> Array:
        """Sums of each group's levels."""
        sums = np.bincount(self.group, weights=values, minlength=self.count)
        return np.asarray(sums, dtype=np.float64)


def components(y: Array, matrix: Array, codes: Sequence[Codes], *, level: float | None = 0.95) -> Fit:
    """Fixed effects, and variances of crossed random intercepts and of the residual.

    It is the fit of ``lme4::lmer``. ``statsmodels.MixedLM`` is wrong where a variance is 0, and says that it
    has converged.

    Parameters
    ----------
    y, matrix, codes
        As in `Likelihood`. `y` does not all follow from `matrix`.
    level : float, optional
        Level of the intervals; None for none, which is much faster.
    """
    unit = float(y.var()) or 1.0
    likelihood = Likelihood(y / np.sqrt(unit), matrix, codes)
    rough, *_ = _search(likelihood, np.full(len(codes) + 1, 0.3))
    best, deviance, converged = _search(likelihood, rough, enough=1e-13)
    free = best > 0
    covariance = np.zeros((len(best), len(best)))
    information = likelihood.deviance(best)[2]
    covariance[np.ix_(free, free)] = np.linalg.pinv(information[np.ix_(free, free)], hermitian=True)
    low, high = np.full(len(best), np.nan), np.full(len(best), np.nan)
    if level is not None:
        for place in range(len(best)):
            low[place], high[place] = _interval(likelihood, best, deviance, place, level)
    estimate, error = likelihood.fixed(best)
    return Fit(
        estimate * np.sqrt(unit),
        error * unit,
        best * unit,
        covariance * unit**2,
        low * unit,
        high * unit,
        converged,
    )


def _search(
    likelihood: Likelihood, start: Array, fixed: int | None = None, enough: float = 1e-7
) -> tuple[Array, float, bool]:
    """The likeliest variances, by projected Newton steps; one of them may be fixed at its start.

    It ends where a step promises to lower the deviance by less than `enough`.

    References
    ----------
    Bertsekas, D. P. (1982). Projected Newton methods for optimization problems with simple constraints. *SIAM
    Journal on Control and Optimization*, 20(2), 221-246.
    """
    least = np.append(np.zeros(len(start) - 1), LEAST)
    at = np.maximum(start, least)
    value, gradient, information = likelihood.deviance(at)
    for _ in range(STEPS):
        free = ~((at <= least) & (gradient > 0))
        if fixed is not None:
            free[fixed] = False
        step = np.zeros(len(at))
        half = information[np.ix_(free, free)]
        half = half + 1e-9 * np.diag(np.diag(half) + 1e-12)
        step[free] = -0.5 * np.linalg.solve(half, gradient[free])
        if -float(gradient @ step) < enough:
            return np.where(at <= SMALL, least, at), value, True
        share = 1.0
        while share > 1e-6:
            trial = np.maximum(at + share * step, least)
            found = likelihood.deviance(trial)
            if found[0] < value - 1e-4 * max(float(gradient @ (at - trial)), 0.0) or share < 2e-6:
                break
            share /= 2
        if found[0] >= value:
            return at, value, bool(-float(gradient @ step) < 1e-3)
        at, (value, gradient, information) = trial, found
    return at, value, False


def _interval(
    likelihood: Likelihood, best: Array, deviance: float, place: int, level: float
) -> tuple[float, float]:
    """The variances between which the deviance is less than its least value plus the quantile of χ²(1)."""
    from scipy import optimize, stats

    limit = float(np.sqrt(stats.chi2.ppf(level, 1)))
    middle = float(np.log(max(best[place], SMALL)))
    ends = []
    for direction, last, none in ((-1, np.log(LEAST), 0.0), (1, LARGEST, np.inf)):
        start = best
        # The root finder asks again for the ends that it is given.
        known = {middle: -limit}

        def beyond(log_variance: float, known: dict[float, float] = known) -> float:
            # The root of the deviance is nearly a straight line.
            nonlocal start
            if log_variance not in known:
                trial = start.copy()
                trial[place] = np.exp(log_variance)
                start, value, _ = _search(likelihood, trial, place)
                known[log_variance] = float(np.sqrt(max(value - deviance, 0.0))) - limit
            return known[log_variance]

        step, inside, outside = 1.0, middle, middle
        while direction * (last - outside) > 0:
            outside = float(direction * min(direction * (inside + direction * step), direction * last))
            if beyond(outside) >= 0:
                ends.append(float(np.exp(optimize.brentq(beyond, inside, outside, xtol=0.01, rtol=1e-3))))
                break
            inside, step = outside, 2 * step
        else:
            ends.append(none)
    return ends[0], ends[1]
