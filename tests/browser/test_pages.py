"""MLflow's web pages on an archive, in a real browser. Screenshots are kept in build/screenshots.

Only run by ``make test-browser``, which needs Debian's packages chromium and chromium-driver.
"""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By

from mlflow_archive.flow.copy import copy
from mlflow_archive.writer.export import ArchiveSink
from tests.support.chunks import ChunkSource, chunk, experiment, pairs, run

pytestmark = pytest.mark.skipif("TEST_BROWSER" not in os.environ, reason="make test-browser")

SCREENSHOTS = Path(__file__).resolve().parents[2] / "build" / "screenshots"
PATIENCE_SECONDS = 60

FILL = """
import json, sys, warnings
warnings.simplefilter("ignore")
import mlflow
from matplotlib.figure import Figure
mlflow.set_tracking_uri(f"sqlite:///{sys.argv[1]}/mlflow.db")
experiment = mlflow.create_experiment("churn", artifact_location=f"{sys.argv[1]}/files")
mlflow.set_experiment("churn")
runs = []
for number in range(6):
    with mlflow.start_run(run_name=f"run-{number}") as run:
        mlflow.log_params({"lr": 0.1 / (number + 1), "depth": number})
        for step in range(60):
            mlflow.log_metric("loss", 1 / (1 + step * (number + 1) / 20), step=step)
        figure = Figure()
        figure.add_subplot().plot([1, 3, 2, number])
        mlflow.log_figure(figure, "plots/curve.png")
        mlflow.log_text("a note", "note.txt")
        runs.append(run.info.run_id)
class Double(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input: list[int]) -> list[int]:
        return [2 * value for value in model_input]
with mlflow.start_run(run_id=runs[0]):
    mlflow.pyfunc.log_model(name="model", python_model=Double(), registered_model_name="doubler")
@mlflow.trace(span_type="CHAIN")
def answer(question):
    return retrieve(question) + "!"
@mlflow.trace(span_type="RETRIEVER")
def retrieve(question):
    return "because"
answer("why?")
trace = mlflow.get_last_active_trace_id()
mlflow.flush_trace_async_logging()
print(json.dumps({"experiment": experiment, "run": runs[0], "trace": trace}))
"""


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, dict[str, str]]]:
    """Return the URL of a server on an archive of a store that MLflow filled, and ids of what is in it."""
    folder = tmp_path_factory.mktemp("pages")
    environment = {
        **os.environ,
        "XDG_CACHE_HOME": str(folder),
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "DO_NOT_TRACK": "true",
    }
    made = subprocess.run(
        [sys.executable, "-c", FILL, str(folder)],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
        cwd=folder,
    )
    assert made.returncode == 0, made.stderr
    command = [sys.executable, "-m", "mlflow_archive_cli"]
    archive = str(folder / "a.mlfa")
    subprocess.run([*command, "export", archive, "--from", f"sqlite:///{folder}/mlflow.db", "-q"], check=True)
    shutil.rmtree(folder / "files")  # what is shown must come out of the archive
    server = subprocess.Popen(
        [*command, "serve", archive, "--host", "::1", "--port", "0", "-q"],
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
        cwd=folder,
    )
    assert server.stdout is not None
    yield server.stdout.readline().strip(), json.loads(made.stdout.splitlines()[-1])
    server.send_signal(signal.SIGINT)
    assert server.wait(timeout=30) in (0, 130)
    server.stdout.close()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    options = Options()
    options.binary_location = shutil.which("chromium") or "chromium"
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--window-size=1500,1000"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"performance": "ALL"})
    found = webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver") or "chromedriver"))
    found.set_page_load_timeout(PATIENCE_SECONDS)
    yield found
    found.quit()


@pytest.fixture
def look(browser: Any, served: tuple[str, dict[str, str]]) -> Callable[..., None]:
    """Open a page and wait until it shows all texts and none of an error; keep a screenshot."""
    url, ids = served

    def see(name: str, path: str, *texts: str, picture: bool = False) -> None:
        browser.get(f"{url}/#/{path.format(**ids)}")
        browser.refresh()
        deadline = time.monotonic() + PATIENCE_SECONDS
        missing: list[str] = list(texts)
        while time.monotonic() < deadline:
            shown = browser.find_element(By.TAG_NAME, "body").text
            missing = [text for text in texts if text not in shown]
            if not missing and (not picture or _pictures(browser)):
                break
            time.sleep(0.5)
        time.sleep(1.5)  # animations of charts
        # The pages must not ask for anything that is refused and tell the reader so.
        assert "opened read-only" not in browser.find_element(By.TAG_NAME, "body").text, name
        assert "read-only: " in browser.find_element(By.TAG_NAME, "body").text, name
        assert "Assistant" not in browser.find_element(By.TAG_NAME, "body").text, name
        assert browser.find_elements(By.CSS_SELECTOR, "[data-assistant-ui]") == [], name
        assert _refused(browser) == [], name
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        browser.save_screenshot(str(SCREENSHOTS / f"{name}.png"))
        assert not missing, f"{name} does not show {missing}"
        assert not picture or _pictures(browser), f"{name} shows no picture"

    return see


def _pictures(browser: Any) -> bool:
    script = "return [...document.querySelectorAll('img')].some(i => i.naturalWidth > 300)"
    return bool(browser.execute_script(script))


def _refused(browser: Any) -> list[str]:
    """Return what the page asked for since it was asked last and did not get, but for pictures of other hosts."""
    messages = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    answers = [m["params"]["response"] for m in messages if m["method"] == "Network.responseReceived"]
    return [f"{answer['status']} {answer['url']}" for answer in answers if answer["status"] >= 400]


def test_run_table(look: Callable[..., None]) -> None:
    look("runs", "experiments/{experiment}/runs", "run-0", "run-5")


def test_filtered_run_table(look: Callable[..., None]) -> None:
    look("runs-filtered", "experiments/{experiment}/runs?searchFilter=metrics.loss%20%3C%200.06", "run-5")


def test_run_page(look: Callable[..., None]) -> None:
    look("run", "experiments/{experiment}/runs/{run}", "run-0", "loss", "depth")


def test_chart_of_a_run(look: Callable[..., None]) -> None:
    look("chart", "experiments/{experiment}/runs/{run}/model-metrics", "loss")


def test_image_artifact(look: Callable[..., None]) -> None:
    look("image", "experiments/{experiment}/runs/{run}/artifacts/plots/curve.png", "curve.png", picture=True)


def test_model_version(look: Callable[..., None]) -> None:
    look("model", "models/doubler/versions/1", "doubler", "Version 1")


def test_trace(look: Callable[..., None]) -> None:
    look("traces", "experiments/{experiment}/traces", "why?")
    look("trace", "experiments/{experiment}/traces?selectedEvaluationId={trace}", "retrieve", "answer")


def test_a_printed_report_has_every_run_unfolded(browser: Any, tmp_path: Path) -> None:
    """What is folded on the screen must be on paper: a report is kept beside an archive for years."""
    source = ChunkSource(
        (0, [chunk(experiments=[experiment("1", "e")])]),
        (1, [chunk(runs=[run("a" * 32, "1")], params=pairs("a" * 32, {f"p{n}": "x" for n in range(200)}))]),
    )
    copy(source, ArchiveSink(tmp_path / "a.mlfa", tool="t", clock_ms=lambda: 0), jobs=1)
    command = [sys.executable, "-m", "mlflow_archive_cli", "report", str(tmp_path / "a.mlfa"), "-q"]
    subprocess.run([*command, "-o", str(tmp_path / "r.html")], check=True)
    browser.get(f"file://{tmp_path}/r.html")
    printed = base64.b64decode(browser.print_page())
    assert len(re.findall(rb"/Type /Page\b", printed)) > 4
