"""The report of a comparison: one HTML file that needs nothing else, and its body for a notebook."""

from base64 import b64encode
from typing import Any

from policies import specfile
from policies.spec import plain
from sim.comparison import Comparison
from sim.comparison_tables import grids
from sim.comparison_words import footing
from sim.report.page import environment, shortened
from sim.result import software
from sim.text import duration, listed, number


def comparison_page(comparison: Comparison) -> str:
    """The whole page; the same comparison gives the same text."""
    return environment().get_template("comparison.html.j2").render(_page(comparison))


def comparison_html(comparison: Comparison) -> str:
    """The verdict, the frontier and the tables, as a piece of HTML for a notebook."""
    names = ("style.html.j2", "comparison_body.html.j2")
    parts = (environment().get_template(name).render(_body(comparison)) for name in names)
    return f'<div class="poolwright">{"".join(parts)}</div>'


def _body(comparison: Comparison) -> dict[str, Any]:
    from sim.plotstyle import svg

    drawn = b64encode(svg(comparison.plot_frontier())).decode()
    joined = listed(comparison.frontier)
    return {
        "verdicts": comparison.verdicts,
        "notes": comparison.notes,
        "grids": list(grids(comparison)),
        "footing": list(footing(comparison)),
        "picture": f"data:image/svg+xml;base64,{drawn}",
        "alternative": f"Price and quality of {len(comparison.policies)} policies; none beats {joined}",
        "caption": (
            "Each policy's price and what is got for it, with 95 % intervals where there are any. The line joins the "
            "policies to which no other is both cheaper and better."
        ),
    }


def _page(comparison: Comparison) -> dict[str, Any]:
    scenario = {key: value for key, value in plain(comparison.scenario).items() if key != "policy"}
    versions = software()
    facts = {
        "simulated time": duration(comparison.scenario.horizon_s),
        "replications": number(comparison.replications),
        "warm-up": duration(comparison.warmup_s) if comparison.warmup_s else "none",
        "held against": comparison.reference,
        "seed": str(comparison.scenario.seed),
        "poolwright": versions["poolwright"],
    }
    return _body(comparison) | {
        "name": comparison.scenario.name,
        "description": comparison.scenario.description,
        "facts": facts,
        "policies": {name: specfile.write(shortened(plain(spec))) for name, spec in comparison.policies.items()},
        "scenario": specfile.write(shortened(scenario)),
        "versions": {"seed": str(comparison.scenario.seed), **versions},
    }
