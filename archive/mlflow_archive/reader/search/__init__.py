"""MLflow's search over an archive: its filter syntax and order, judged on Arrow columns without MLflow.

``searchable`` says by what a kind of object can be searched, ``grammar`` turns a filter into conditions, ``evaluate``
finds the rows that fulfil them. It imports ``reader.archive`` and ``kinds``. The filters of sources, which must answer
as MLflow's server does, are in ``sources.filtering``.
"""

from mlflow_archive.reader.search.evaluate import holds, matching, owner_of, values_of
from mlflow_archive.reader.search.grammar import Condition, Field, Order, parse_filter, parse_order
from mlflow_archive.reader.search.searchable import SEARCHABLE, SearchableKind

__all__ = [
    "SEARCHABLE",
    "Condition",
    "Field",
    "Order",
    "SearchableKind",
    "holds",
    "matching",
    "owner_of",
    "parse_filter",
    "parse_order",
    "values_of",
]
