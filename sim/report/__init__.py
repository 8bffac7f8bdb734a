"""The report of a finished run: one self-contained page, and its head for a notebook."""

from sim.report.page import summary_html, write_report

__all__ = ["summary_html", "write_report"]
