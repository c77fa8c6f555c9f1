"""Logistic regression of repeated yes/no choices: marginal (GEE) and with crossed random intercepts."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Codes = NDArray[np.int64]

NEWTON = 50
"""Newton steps at most to the mode of the random effects; ten do nearly always."""


@dataclass(frozen=True, slots=True)
class Fit:
    """Estimates in log odds.

    Attributes
    ----------
    estimate : ndarray, shape (k,)
        Coefficients.
    covariance : ndarray, shape (k, k)
        Of the coefficients.
    converged : bool
        Whether the method's own criterion was met.
    spread : mapping of str to float
        Standard deviation of each random intercept, in log odds; empty where there is none.
    """

    estimate: Array
    covariance: Array
    converged: bool
    spread: Mapping[str, float] = field(default_factory=dict)


def gee(y: Array, matrix: Array, groups: Codes) -> Fit:
    """Generalised estimating equations with independent working correlation and robust errors.

    The estimates are those of plain logistic regression; the errors allow any correlation within a group.

    Parameters
    ----------
    y : ndarray, shape (n,)
        0 or 1.
    matrix : ndarray, shape (n, k)
        Predictors.
    groups : ndarray, shape (n,)
        Which observations belong together.

    References
    ----------
    Liang, K.-Y., & Zeger, S. L. (1986). Longitudinal data analysis using generalized linear models.
    *Biometrika*, 73(1), 13-22.
    """
    import statsmodels.api as sm

    order = np.argsort(groups, kind="stable")
    model = sm.GEE(
        y[order],
        matrix[order],
        groups[order],
        family=sm.families.Binomial(),
        cov_struct=sm.cov_struct.Independence(),
    )
    with warnings.catch_warnings():
        # What it would warn of is told by `converged`.
        warnings.simplefilter("ignore")
        result = model.fit(maxiter=200, ctol=1e-10)
    return Fit(np.asarray(result.params), np.asarray(result.cov_params()), bool(result.converged))


def mixed(y: Array, matrix: Array, factors: Mapping[str, Codes]) -> Fit:
    r"""Logistic regression with crossed random intercepts, by maximum likelihood.

    The likelihood is Laplace's approximation: the random effects :math:`u \sim N(0, I)`, scaled by their
    standard deviations, are at the mode of the penalised likelihood, and what is integrated out adds
    :math:`\log \det(Z'WZ + I)` to the deviance. The covariance of the coefficients is that at the estimated
    standard deviations. This is the fit of ``lme4::glmer`` with ``nAGQ = 1``; statsmodels has only
    variational and posterior-mode fits, whose intervals are too narrow.

    Parameters
    ----------
    y : ndarray, shape (n,)
        0 or 1.
    matrix : ndarray, shape (n, k)
        Predictors of the fixed effects.
    factors : mapping of str to ndarray, shape (n,)
        Level of each random intercept, counted from 0.

    References
    ----------
    Bates, D., Mächler, M., Bolker, B., & Walker, S. (2015). Fitting linear mixed-effects models using lme4.
    *Journal of Statistical Software*, 67(1).
    """
    from scipy import optimize

    laplace = _Laplace(y, matrix, factors)
    count = len(factors)
    # As lme4 does: first the standard deviations alone, then everything together.
    first = optimize.minimize(
        lambda theta: laplace.deviance(np.abs(theta), None),
        np.ones(count),
        method="Nelder-Mead",
        options={"xatol": 1e-3, "fatol": 1e-4},
    )
    theta = np.abs(first.x)
    laplace.deviance(theta, None)
    bounds = [(0.0, None)] * count + [(None, None)] * matrix.shape[1]
    second = optimize.minimize(
        lambda both: laplace.deviance(both[:count], both[count:]),
        np.concatenate([theta, laplace.beta]),
        jac="3-point",
        method="L-BFGS-B",
        bounds=bounds,
        options={"ftol": 1e-12, "gtol": 1e-4, "maxfun": 100_000},
    )
    theta, beta = second.x[:count], second.x[count:]
    laplace.deviance(theta, beta)
    spread = {name: float(sd) for name, sd in zip(factors, theta, strict=True)}
    converged = bool(first.success and second.success and laplace.converged)
    return Fit(beta, laplace.covariance(theta), converged, spread)


class _Laplace:
    """Laplace's approximation to the deviance; keeps the last mode, from which the next search begins."""

    def __init__(self, y: Array, matrix: Array, factors: Mapping[str, Codes]) -> None:
        from scipy import sparse

        self.y, self.x = y, matrix
        sizes = [int(codes.max()) + 1 for codes in factors.values()]
        starts = np.cumsum([0, *sizes[:-1]])
        columns = np.column_stack([c + s for c, s in zip(factors.values(), starts, strict=True)]).ravel()
        rows = np.repeat(np.arange(len(y)), len(factors))
        self.z = sparse.csr_matrix((np.ones(len(rows)), (rows, columns)), (len(y), sum(sizes)))
        self.factor = np.repeat(np.arange(len(sizes)), sizes)
        self.u = np.zeros(sum(sizes))
        self.beta = np.zeros(matrix.shape[1])
        self.converged = True

    def deviance(self, theta: Array, beta: Array | None) -> float:
        """-2 log likelihood at these standard deviations; with no `beta`, at the best one for the mode."""
        fixed = beta is not None
        if beta is not None:
            self.beta = beta
        scale = theta[self.factor]
        penalised, eta = self._penalised(scale, self.u, self.beta)
        for _ in range(NEWTON):
            mu = 1 / (1 + np.exp(-eta))
            weight = np.maximum(mu * (1 - mu), 1e-12)
            zz, zx, xx = self._information(scale, weight)
            score = scale * (self.z.T @ (self.y - mu)) - self.u
            if fixed:
                step_u, step_beta = np.linalg.solve(zz, score), np.zeros_like(self.beta)
            else:
                both = np.block([[zz, zx], [zx.T, xx]])
                step = np.linalg.solve(both, np.concatenate([score, self.x.T @ (self.y - mu)]))
                step_u, step_beta = step[: len(self.u)], step[len(self.u) :]
            length = 1.0
            while True:
                u, b = self.u + length * step_u, self.beta + length * step_beta
                new, eta_new = self._penalised(scale, u, b)
                if new <= penalised + 1e-12 or length < 1e-6:
                    break
                length /= 2
            gain, penalised, eta, self.u, self.beta = penalised - new, new, eta_new, u, b
            if gain < 1e-11 * (1 + abs(penalised)):
                self.converged = True
                break
        else:
            self.converged = False
        mu = 1 / (1 + np.exp(-eta))
        zz = self._information(scale, np.maximum(mu * (1 - mu), 1e-12))[0]
        return float(penalised + np.linalg.slogdet(zz)[1])

    def covariance(self, theta: Array) -> Array:
        """Covariance of the coefficients at the last mode."""
        scale = theta[self.factor]
        mu = 1 / (1 + np.exp(-self._penalised(scale, self.u, self.beta)[1]))
        zz, zx, xx = self._information(scale, np.maximum(mu * (1 - mu), 1e-12))
        return np.asarray(np.linalg.inv(xx - zx.T @ np.linalg.solve(zz, zx)), dtype=np.float64)

    def _penalised(self, scale: Array, u: Array, beta: Array) -> tuple[float, Array]:
        eta = self.x @ beta + self.z @ (scale * u)
        return float(2 * (np.logaddexp(0, eta) - self.y * eta).sum() + u @ u), eta

    def _information(self, scale: Array, weight: Array) -> tuple[Array, Array, Array]:
        weighted = self.z.T.multiply(weight).tocsr()
        zz = scale[:, None] * (weighted @ self.z).toarray() * scale + np.eye(len(scale))
        zx = scale[:, None] * (weighted @ self.x)
        return zz, zx, self.x.T @ (weight[:, None] * self.x)
