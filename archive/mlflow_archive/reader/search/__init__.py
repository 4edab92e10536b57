"""MLflow's search over an archive: its filter syntax and order, judged on Arrow columns without MLflow."""

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
