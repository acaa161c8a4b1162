"""Views of a run's report. They read its JSON only, so they work on a file as well as after a run."""

from meshrt.report_schema import check_report
from meshrt.report_table import print_report, render_report

__all__ = ["check_report", "print_report", "render_report"]
