"""One page about an archive for people without tools: start at ``page``."""

from mlflow_archive.api.report.page import ReportOptions, report_html

__all__ = ["ReportOptions", "report_html"]
