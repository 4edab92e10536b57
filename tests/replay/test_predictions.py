"""A model that was logged and registered on one server predicts the same when it is loaded from another."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import mlflow
import numpy as np

from tests.replay.conftest import Place
from tests.support.mlflow_server import running_server
from tests.support.restoring import export
from tests.support.tracking_uri import tracking_to

INPUT = np.array([[1.0], [2.5], [-3.0]])


def doubler() -> Any:
    """Return a model of our own, of a class that no module has, so that its code travels with it."""

    class Doubler(mlflow.pyfunc.PythonModel):  # type: ignore[misc]
        def predict(self, context, model_input, params=None):  # type: ignore[no-untyped-def] # MLflow reads types
            return model_input * 2

    return Doubler()


def test_loaded_models_predict_the_same(server_place: Place, tmp_path: Path) -> None:
    from sklearn.linear_model import LinearRegression  # noqa: PLC0415 - takes a second, in each worker

    fitted = LinearRegression().fit([[0.0], [1.0], [2.0]], [1.0, 3.0, 5.5])
    with running_server(tmp_path / "server") as server, warnings.catch_warnings(), tracking_to(server.uri):
        warnings.simplefilter("ignore")  # MLflow has much to say on how models are logged
        mlflow.set_experiment("models")
        with mlflow.start_run(run_name="training"):
            mlflow.sklearn.log_model(
                fitted, name="linear", registered_model_name="linear", pip_requirements=["scikit-learn"]
            )
            mlflow.pyfunc.log_model(
                name="doubler", python_model=doubler(), registered_model_name="doubler", pip_requirements=["numpy"]
            )
        for name in ("linear", "doubler"):
            mlflow.MlflowClient().set_registered_model_alias(name, "live", "1")
        archive = export(server.backend, tmp_path / "all.mlfa", artifacts_destination=str(server.artifacts))
    report = server_place.replay(archive)
    assert report.gaps == []
    [run_id] = report.details["runs"].values()  # type: ignore[attr-defined]
    with warnings.catch_warnings(), tracking_to(server_place.uri):
        warnings.simplefilter("ignore")
        for name, expected in (("linear", fitted.predict(INPUT)), ("doubler", INPUT * 2)):
            registered = server_place.name(name)
            for uri in (f"models:/{registered}/1", f"models:/{registered}@live", f"runs:/{run_id}/{name}"):
                found = mlflow.pyfunc.load_model(uri).predict(INPUT)
                np.testing.assert_array_equal(np.ravel(found), np.ravel(expected), uri)
        loaded = mlflow.sklearn.load_model(f"models:/{server_place.name('linear')}/1")
        np.testing.assert_array_equal(loaded.coef_, fitted.coef_)
