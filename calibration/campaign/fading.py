"""How a link fades: K factor, and which distribution its power follows, with goodness of fit."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray
from scipy import special, stats

from calibration.campaign.estimates import DB_PER_NEPER
from calibration.campaign.series import LinkSeries, with_uncertainty
from radio.quantity import Quantity

Array = NDArray[np.float64]
LEAST_SOUNDINGS = 20
"""Independent soundings below which no distribution is told from another."""
HIDDEN = 3.0
"""Variance of power below so many times that of noise is not called fading."""
REPEATS = 200
"""Samples drawn from a fitted distribution to judge its distance from the data."""


class FadingFit(Struct, frozen=True):
    """A distribution of power over its mean, fitted by moments."""

    model: str
    parameters: dict[str, float]
    distance: float
    """Largest difference between fitted and observed distribution (Kolmogorov and Smirnov)."""
    p_value: float
    """Share of samples drawn from the fit, and fitted again, that lie as far off: small speaks against the model."""
    log_likelihood: float
    aic: float
    """Akaike's criterion: of two models the one with less is preferred."""


def k_factor(series: LinkSeries) -> Quantity | None:
    """Ricean K, linear: power of the constant path over that of the scattered ones.

    From the first two moments of power in each RB (Greenstein, Michelson, Erceg, IEEE Commun. Lett. 3(6), 1999), what
    noise adds to them taken off. None of too few soundings, or where noise hides what fading there is.
    """
    if len(series.soundings) < LEAST_SOUNDINGS or fading_variance(series.rb_power) < HIDDEN * noise_variance(series):
        return None
    noise = noise_variance(series)

    def k_of(index: NDArray[np.int64]) -> float:
        return float(_k_of_scatter(np.array([fading_variance(series.rb_power[index]) - noise]))[0])

    return with_uncertainty(series, k_of)


def fading_variance(rb_power: Array) -> float:
    """Variance of power over its squared mean, from powers (soundings, RBs); mean over RBs."""
    return float(np.mean(rb_power.var(axis=0, ddof=1) / rb_power.mean(axis=0) ** 2))


def noise_variance(series: LinkSeries) -> float:
    """What of ``fading_variance`` is errors of measurement."""
    per_rb = series.response.shape[1] / series.rb_power.shape[1]
    noise, power = series.noise[:, None], series.rb_power
    return float(np.mean((2.0 * power * noise + noise**2) / power.mean(axis=0) ** 2) / per_rb)


def _k_of_scatter(scatter: Array) -> Array:
    root = np.sqrt(np.clip(1.0 - scatter, 0.0, 1.0))
    return np.asarray(root / np.maximum(1.0 - root, 1e-12))


class _Model(NamedTuple):
    """A distribution of power of mean 1, fitted to samples along the last axis."""

    name: str
    fit: Callable[[Array], tuple[Array, ...]]
    """Parameters, each with a last axis of length 1."""
    distribution: Callable[..., Array]
    log_density: Callable[..., Array]
    draw: Callable[..., Array]
    """From a generator, parameters and a shape."""
    tell: Callable[..., dict[str, float]]
    """Parameters by the names that users see."""


def _scatter(power: Array) -> Array:
    return np.asarray(power.var(axis=-1, ddof=1, keepdims=True) / power.mean(axis=-1, keepdims=True) ** 2)


def _rice(k: Array) -> tuple[Array, Array]:
    """Non-centrality and scale of a non-central chi-square of two degrees of freedom and mean 1."""
    return 2.0 * k, 1.0 / (2.0 * (1.0 + k))


def _rice_log_density(power: Array, k: Array) -> Array:
    turn = 2.0 * np.sqrt(k * (1.0 + k) * power)
    bessel = np.log(special.ive(0, turn)) + turn
    return np.asarray(np.log1p(k) - k - (1.0 + k) * power + bessel)


def _rice_draw(rng: np.random.Generator, shape: tuple[int, ...], k: Array) -> Array:
    parts = rng.standard_normal((*shape, 2))
    real = np.sqrt(k) + np.sqrt(0.5) * parts[..., 0]
    return np.asarray((real**2 + 0.5 * parts[..., 1] ** 2) / (1.0 + k))


def _log_fit(power: Array) -> tuple[Array, Array]:
    logarithm = np.log(np.maximum(power, 1e-12))
    return logarithm.mean(axis=-1, keepdims=True), np.maximum(logarithm.std(axis=-1, ddof=1, keepdims=True), 1e-6)


MODELS = (
    _Model(
        "rayleigh", lambda p: (), lambda p: -np.expm1(-p), lambda p: -p,
        lambda rng, shape: rng.standard_exponential(shape), dict,
    ),
    _Model(
        "rice", lambda p: (_k_of_scatter(_scatter(p)),), lambda p, k: stats.ncx2.cdf(p / _rice(k)[1], 2, _rice(k)[0]),
        _rice_log_density, _rice_draw, lambda k: {"k": float(k)},
    ),
    _Model(
        "nakagami", lambda p: (1.0 / np.maximum(_scatter(p), 1e-9),), lambda p, m: special.gammainc(m, m * p),
        lambda p, m: m * np.log(m) - special.gammaln(m) + (m - 1.0) * np.log(p) - m * p,
        lambda rng, shape, m: rng.standard_gamma(m, shape) / m, lambda m: {"m": float(m)},
    ),
    _Model(
        "lognormal", _log_fit, lambda p, mean, sd: special.ndtr((np.log(np.maximum(p, 1e-12)) - mean) / sd),
        lambda p, mean, sd: stats.norm.logpdf(np.log(p), mean, sd) - np.log(p),
        lambda rng, shape, mean, sd: np.exp(mean + sd * rng.standard_normal(shape)),
        lambda mean, sd: {"mean_db": DB_PER_NEPER * float(mean), "sigma_db": DB_PER_NEPER * float(sd)},
    ),
)  # fmt: skip
"""In order of parameters; what fits a Rayleigh channel all but the last one fit."""


def fading_samples(series: LinkSeries) -> Array:
    """Powers of the middle RB over their mean, one of every run of soundings that are alike."""
    power = series.rb_power[:: series.block, series.rb_power.shape[1] // 2]
    return np.asarray(np.maximum(power / power.mean(), 1e-9))


def fading_fits(series: LinkSeries) -> list[FadingFit]:
    """All models, the one with the least AIC first; none of fewer than ``LEAST_SOUNDINGS`` independent soundings."""
    power = np.sort(fading_samples(series))
    if len(power) < LEAST_SOUNDINGS:
        return []
    return sorted((_fit(model, power) for model in MODELS), key=lambda fit: fit.aic)


def _fit(model: _Model, power: Array) -> FadingFit:
    parameters = model.fit(power)
    likelihood = float(np.sum(model.log_density(power, *parameters)))
    distance = float(_distance(model.distribution(power, *parameters)))
    drawn = np.sort(model.draw(np.random.default_rng(1), (REPEATS, len(power)), *parameters), axis=1)
    drawn = np.maximum(drawn / drawn.mean(axis=1, keepdims=True), 1e-9)
    others = _distance(model.distribution(drawn, *model.fit(drawn)))
    return FadingFit(
        model=model.name, parameters=model.tell(*(p.item() for p in parameters)), distance=distance,
        p_value=float(np.mean(others >= distance)), log_likelihood=likelihood,
        aic=2.0 * (len(parameters) - likelihood),
    )  # fmt: skip


def fitted_distribution(fit: FadingFit, power: Array) -> Array:
    """Share of powers at most ``power`` (over their mean) under a fit, for plots."""
    model = next(model for model in MODELS if model.name == fit.model)
    values = list(fit.parameters.values())
    if model.name == "lognormal":
        values = [value / DB_PER_NEPER for value in values]
    return np.asarray(model.distribution(power, *values))


def _distance(fitted: Array) -> Array:
    """Kolmogorov-Smirnov distance of sorted samples whose fitted distribution is given, along the last axis."""
    count = fitted.shape[-1]
    steps = np.arange(count) / count
    return np.asarray(np.maximum(fitted - steps, steps + 1.0 / count - fitted).max(axis=-1))
