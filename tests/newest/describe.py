"""Print what an MLflow has, as JSON: its version, schema, revisions, tables of its log-in, and routes.

Run by the interpreter of that MLflow; nothing of this project is imported.
"""

from __future__ import annotations

import json
import os
import re
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_PARAMETER = re.compile(r"<(?:\w+:)?\w+>|\{\w+(?::\w+)?\}")
_API = re.compile(r"^/(?:ajax-)?api/")


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        os.environ["_MLFLOW_SERVER_FILE_STORE"] = f"sqlite:///{Path(folder, 'server.db')}"
        sys.stdout.write(json.dumps(described(Path(folder))) + "\n")


def described(folder: Path) -> dict[str, Any]:
    import mlflow  # noqa: PLC0415 - once the environment is set
    import sqlalchemy  # noqa: PLC0415
    from alembic.script import ScriptDirectory  # noqa: PLC0415
    from mlflow.server.auth.db import models  # noqa: PLC0415
    from mlflow.store.db import utils  # noqa: PLC0415

    engine = sqlalchemy.create_engine(f"sqlite:///{folder / 'schema.db'}")
    utils._initialize_tables(engine)
    inspector = sqlalchemy.inspect(engine)
    columns = {name: [column["name"] for column in inspector.get_columns(name)] for name in inspector.get_table_names()}
    engine.dispose()
    scripts = ScriptDirectory.from_config(utils._get_alembic_config("sqlite://"))
    return {
        "version": mlflow.__version__,
        "columns": columns,
        "revisions": [script.revision for script in scripts.walk_revisions()],
        "accounts": sorted(models.Base.metadata.tables),
        "routes": sorted(set(routes())),
    }


def routes() -> Iterator[str]:
    """Yield METHOD and path of each route of the API; a parameter is ``*``, and pages' own API is that of all."""
    from mlflow.server import app  # noqa: PLC0415
    from mlflow.server.fastapi_app import app as fastapi  # noqa: PLC0415

    flask = [(rule.methods or (), rule.rule) for rule in app.url_map.iter_rules()]
    others = [(map(str.upper, methods), path) for path, methods in fastapi.openapi()["paths"].items()]
    for methods, path in (*flask, *others):
        for method in {*methods} - {"HEAD", "OPTIONS"}:
            yield f"{method} {_API.sub('/api/', _PARAMETER.sub('*', path))}"


if __name__ == "__main__":
    main()
