"""Forecasts of a rate, for anyone who has it in bins: three methods, and what their errors were.

series, outlook = RateSeries(bin_s=60), Outlook(METHODS, steps=4, season=1440, history=4320)
for taken_s, total in readings:
    for a_bin in series.see(taken_s, total):
        outlook.see(a_bin)
outlook.track.name, outlook.track.point, outlook.track.quantile(0.9)
"""

from policies.forecasts.autoregression import Autoregression
from policies.forecasts.holt_winters import HoltWinters, Smoothing
from policies.forecasts.method import Fit, Forecaster, Rates
from policies.forecasts.outlook import METHODS, Outlook
from policies.forecasts.rate_series import Bin, RateSeries
from policies.forecasts.season import found_season
from policies.forecasts.seasonal_naive import SeasonalNaive
from policies.forecasts.track import Errors, Track

__all__ = [
    "METHODS",
    "Autoregression",
    "Bin",
    "Errors",
    "Fit",
    "Forecaster",
    "HoltWinters",
    "Outlook",
    "RateSeries",
    "Rates",
    "SeasonalNaive",
    "Smoothing",
    "Track",
    "found_season",
]
