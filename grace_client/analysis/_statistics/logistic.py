"""Logistic regression of repeated yes/no choices: marginal (GEE) and with crossed random intercepts."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Codes = NDArray[np.int64]

NEWTON = 50
"""Largest number of Newton steps to the mode of the random effects; ten are nearly always enough."""


@dataclass(frozen=True, slots=True)
class Fit:
    """Estimates in log odds.

    Attributes
    ----------
    estimate : ndarray, shape (k,)
        Coefficients.
    covariance : ndarray, shape (k, k)
        Covariance of the coefficients.
    converged : bool
        Whether the method's own criterion was met.
    spread : mapping of str to float
        Standard deviation of each random intercept, in log odds; empty if there is none.
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
        0 or 1, or a share between them.
    matrix : ndarray, shape (n, k)
        Predictors.
    groups : ndarray, shape (n,)
        Cluster of each observation.

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
        # `converged` says what the warnings would say.
        warnings.simplefilter("ignore")
        result = model.fit(maxiter=200, ctol=1e-10)
    return Fit(np.asarray(result.params), np.asarray(result.cov_params()), bool(result.converged))


def mixed(y: Array, matrix: Array, factors: Mapping[str, Codes], *, penalised: bool = False) -> Fit:
    r"""Logistic regression with crossed random intercepts, by maximum likelihood.

    The likelihood is Laplace's approximation: the random effects :math:`u \sim N(0, I)`, scaled by their
    standard deviations, are at the mode of the penalised likelihood, and integrating them out adds
    :math:`\log \det(Z'WZ + I)` to the deviance. The covariance of the coefficients is from the observed
    information of coefficients and standard deviations together, a numerical Hessian of the deviance. This is
    the fit of ``lme4::glmer`` with ``nAGQ = 1``, and these are the errors that its ``summary`` prints;
    statsmodels has only variational and posterior-mode fits, whose intervals are too narrow.

    Parameters
    ----------
    y : ndarray, shape (n,)
        0 or 1.
    matrix : ndarray, shape (n, k)
        Predictors of the fixed effects.
    factors : mapping of str to ndarray, shape (n,)
        Level of each random intercept, counted from 0.
    penalised : bool
        Whether each coefficient gets the prior of half an observation of 1 and half of 0 (log-F(1, 1)), so
        that it is finite where all observations are equal. The columns of `matrix` must be indicators of
        cells. Without random intercepts this is Jeffreys' prior, the correction of Firth.

    References
    ----------
    Firth, D. (1993). Bias reduction of maximum likelihood estimates. *Biometrika*, 80(1), 27-38. Greenland,
    S., & Mansournia, M. A. (2015). Penalization, bias reduction, and default priors in logistic and related
    categorical and survival regressions. *Statistics in Medicine*, 34(23), 3133-3143 (log-F(1, 1)).
    Bates, D., Mächler, M., Bolker, B., & Walker, S. (2015). Fitting linear mixed-effects models using lme4.
    *Journal of Statistical Software*, 67(1).
    """
    from scipy import optimize

    # Observations with equal predictors and levels are one binomial observation.
    codes = np.column_stack([matrix, *factors.values()])
    _, first_of, inverse, size = np.unique(
        codes, axis=0, return_index=True, return_inverse=True, return_counts=True
    )
    matrix, y = matrix[first_of], np.bincount(inverse.ravel(), weights=y).astype(np.float64)
    factors = {name: level[first_of] for name, level in factors.items()}
    prior = np.eye(matrix.shape[1]) if penalised else np.empty((0, matrix.shape[1]))
    laplace = _Laplace(y, size.astype(np.float64), matrix, factors, prior)
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
    spread = {name: float(sd) for name, sd in zip(factors, theta, strict=True)}
    converged = bool(first.success and second.success and laplace.converged)
    # The deviance does not depend on the sign of a standard deviation.
    hessian = _hessian(lambda both: laplace.deviance(np.abs(both[:count]), both[count:]), second.x)
    with np.errstate(all="ignore"):
        covariance = np.asarray(2 * np.linalg.pinv(hessian)[count:, count:], dtype=np.float64)
    converged = converged and bool((np.linalg.eigvalsh(covariance) > 0).all())
    return Fit(beta, covariance, converged, spread)


def _hessian(function: Callable[[Array], float], at: Array, step: float = 1e-3) -> Array:
    """Second derivatives, by central differences."""
    size = len(at)
    result = np.empty((size, size))
    middle, unit = function(at), step * np.eye(size)
    ends = [(function(at + unit[i]), function(at - unit[i])) for i in range(size)]
    for i in range(size):
        result[i, i] = (ends[i][0] - 2 * middle + ends[i][1]) / step**2
        for j in range(i):
            both = function(at + unit[i] + unit[j]) + function(at - unit[i] - unit[j])
            result[i, j] = result[j, i] = (both - sum(ends[i]) - sum(ends[j]) + 2 * middle) / (2 * step**2)
    return result


class _Laplace:
    """Laplace's approximation to the deviance. It keeps the last mode as the start of the next search.

    No observation has two levels of the largest factor, so their block of the information is diagonal. It is
    eliminated before the rest is solved.
    """

    def __init__(
        self, y: Array, size: Array, matrix: Array, factors: Mapping[str, Codes], prior: Array
    ) -> None:
        from scipy import sparse

        real, half = len(y), len(prior)
        # Half an observation of each kind, without random effects.
        self.y, self.size = np.append(y, np.full(half, 0.5)), np.append(size, np.ones(half))
        self.x = np.vstack([matrix, prior])
        codes = list(factors.values())
        levels = [int(code.max()) + 1 for code in codes]
        self.large = int(np.argmax(levels))
        rest = [i for i in range(len(codes)) if i != self.large]
        self.sum = sparse.csr_matrix(
            (np.ones(real), (codes[self.large], np.arange(real))), (levels[self.large], real + half)
        )
        own = np.hstack([np.empty((real, 0)), *(np.eye(levels[i])[codes[i]] for i in rest)])
        self.rest = np.vstack([own, np.zeros((half, own.shape[1]))])
        self.factor = np.repeat(rest, [levels[i] for i in rest]).astype(np.int64)
        self.u = np.zeros(levels[self.large])
        self.v = np.zeros(len(self.factor))
        self.beta = np.zeros(matrix.shape[1])
        self.converged = True

    def deviance(self, theta: Array, beta: Array | None) -> float:
        """-2 log likelihood at these standard deviations; with no `beta`, at the best one for the mode."""
        fixed = beta is not None
        if beta is not None:
            self.beta = beta
        scale, rest = theta[self.large], self.rest * theta[self.factor]
        own = rest if fixed else np.hstack([rest, self.x])
        penalised, eta = self._penalised(scale, rest, self.u, self.v, self.beta)
        for _ in range(NEWTON):
            mu = 1 / (1 + np.exp(-eta))
            left = self.y - self.size * mu
            score = scale * (self.sum @ left) - self.u
            other = own.T @ left
            other[: len(self.v)] -= self.v
            diagonal, cross, reduced = self._reduced(scale, own, mu)
            step = np.linalg.solve(reduced, other - cross.T @ (score / diagonal))
            step_u = (score - cross @ step) / diagonal
            step_v, step_beta = step[: len(self.v)], step[len(self.v) :]
            length = 1.0
            while True:
                u, v = self.u + length * step_u, self.v + length * step_v
                b = self.beta if fixed else self.beta + length * step_beta
                new, eta_new = self._penalised(scale, rest, u, v, b)
                if new <= penalised + 1e-12 or length < 1e-6:
                    break
                length /= 2
            gain, penalised, eta = penalised - new, new, eta_new
            self.u, self.v, self.beta = u, v, b
            if gain < 1e-11 * (1 + abs(penalised)):
                self.converged = True
                break
        else:
            self.converged = False
        diagonal, _, reduced = self._reduced(scale, rest, 1 / (1 + np.exp(-eta)))
        return float(penalised + np.log(diagonal).sum() + np.linalg.slogdet(reduced)[1])

    def _penalised(self, scale: float, rest: Array, u: Array, v: Array, beta: Array) -> tuple[float, Array]:
        eta = self.x @ beta + scale * (self.sum.T @ u) + rest @ v
        fit = 2 * (self.size * np.logaddexp(0, eta) - self.y * eta).sum()
        return float(fit + u @ u + v @ v), eta

    def _reduced(self, scale: float, own: Array, mu: Array) -> tuple[Array, Array, Array]:
        """The diagonal block, its cross products with `own`, and the information that is left for `own`."""
        weight = self.size * np.maximum(mu * (1 - mu), 1e-12)
        weighted = weight[:, None] * own
        diagonal = 1 + scale**2 * (self.sum @ weight)
        cross = scale * (self.sum @ weighted)
        information = own.T @ weighted
        penalty = np.arange(len(self.v))
        information[penalty, penalty] += 1
        return diagonal, cross, information - cross.T @ (cross / diagonal[:, None])
