"""Palm's series 1 + x/(n+1) + x^2/((n+1)(n+2)) + ..., on which Erlang A and gamma-distributed services rest.

For real n > 0. It is the confluent hypergeometric function M(1, n+1, x), and the regularised incomplete gamma
function over a Poisson probability: P(n, x) / (x^n e^-x / Gamma(n+1)).
"""

import math


def log_series(n: float, x: float) -> float:
    """The logarithm of the series, for any real x; 10 digits for n up to 10^10."""
    if x < -100.0:
        from scipy.special import hyp1f1

        return math.log(hyp1f1(1.0, n + 1.0, x))
    if _converges(n, x):
        rest = n + 1.0 + _fraction(n, x)
        return math.log(rest / (rest - x))
    return math.log(gamma_below(n, x)) - log_poisson(x, n)


def mean_power(n: float, x: float) -> float:
    """The mean of k where the series' terms, for x >= 0, are the weights of k = 0, 1, 2, ..."""
    if _converges(n, x):
        fraction = _fraction(n, x)
        return x * (1.0 + fraction) / (n + 1.0 + fraction)
    return x - n + n * math.exp(-log_series(n, x))


def gamma_below(n: float, x: float) -> float:
    """The regularised incomplete gamma function P(n, x) where x is above n, or not more than 5 sqrt(n) below it."""
    if n < 1e5:
        from scipy.special import gammainc

        return float(gammainc(n, x))
    # The library's function is off by 10 % and more beyond n = 10^6; Temme's expansion (1979) is not.
    away = x / n - 1.0
    deviance = away - math.log1p(away)
    root = math.copysign(math.sqrt(2.0 * deviance), away)
    skew = 1.0 / away - 1.0 / root if abs(away) > 1e-5 else -1 / 3 + away / 12.0
    density = math.exp(-n * deviance) / math.sqrt(2.0 * math.pi * n)
    return 0.5 * math.erfc(-root * math.sqrt(0.5 * n)) - density * (skew - 1.0 / (540.0 * n))


def log_poisson(mean: float, n: float) -> float:
    """log(mean^n e^-mean / Gamma(n+1)) for mean > 0 and real n >= 0, without cancellation (Loader, 2000)."""
    if n < 32:
        return n * math.log(mean) - mean - math.lgamma(n + 1.0)
    x = (mean - n) / n
    logarithm = math.log1p(x) if abs(x) < 0.5 else math.log(mean / n)
    inverse = 1.0 / (n * n)
    stirling = (1 / 12 - inverse * (1 / 360 - inverse * (1 / 1260 - inverse / 1680))) / n
    return n * (logarithm - x) - stirling - 0.5 * math.log(2.0 * math.pi * n)


def _converges(n: float, x: float) -> bool:
    # Beyond n the fraction's terms cancel; near a large n it takes 0.8 sqrt(n) steps.
    return x <= n and (n < 1e5 or n - x > 4.0 * math.sqrt(n))


def _fraction(n: float, x: float) -> float:
    """K where the series is 1/(1 - x/(n+1+K)): Gauss' continued fraction by Lentz' method, for -100 <= x <= n."""
    if x == 0.0:
        return 0.0
    c, d = math.inf, 1.0 / (n + 2.0)
    value = x * d
    for k in range(2, 100_000):
        a = 0.5 * (k + 1) * x if k % 2 else -(n + k // 2) * x
        d = 1.0 / (n + 1.0 + k + a * d)
        c = n + 1.0 + k + a / c
        value *= c * d
        if abs(c * d - 1.0) < 2e-16:
            break
    return value
