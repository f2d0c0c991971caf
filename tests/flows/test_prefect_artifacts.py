"""Names of flow runs, and the report as a Prefect artifact without a link to a file."""

import base64
import re

from prefect import flow
from prefect.client.orchestration import SyncPrefectClient

from electra_pipeline.config import PipelineConfig
from flows.flow_options import FLOW
from flows.prefect_artifacts import report_markdown

PAGE = """<h1>x</h1><figure><svg role="img" aria-label="Generator loss" width="9">
<text>loss</text></svg></figure><p>no chart</p><svg width="1"></svg>"""


def test_the_report_has_its_path_as_text_and_its_charts_as_images():
    markdown = report_markdown(PAGE, "/my runs/ä/x-report.html", "| task |\n| --- |\n")
    assert "`/my runs/ä/x-report.html` on " in markdown and "| task |" in markdown
    assert "file://" not in markdown and "](/" not in markdown
    image = r"### (.*)\n\n!\[\]\(data:image/svg\+xml;base64,(.*?)\)"
    images = re.findall(image, markdown)
    assert [title for title, _ in images] == ["Generator loss", "chart"]
    svg = base64.b64decode(images[0][1]).decode()
    assert svg.startswith('<svg style="background: #fff" role="img"') and "loss" in svg


def test_a_relative_path_becomes_absolute_and_a_uri_is_kept(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert f"`{tmp_path}/runs/x.html`" in report_markdown("", "./runs/x.html", "")
    assert "`s3://bucket/x y.html`" in report_markdown("", "s3://bucket/x y.html", "")


def test_runs_of_one_configuration_have_different_names(prefect_server):
    @flow(name="named", **FLOW)
    def named(config: PipelineConfig) -> None: ...

    for _ in range(2):
        named(PipelineConfig(name="es-small"))
    with SyncPrefectClient(api=prefect_server) as client:
        names = [run.name for run in client.read_flow_runs() if run.name.startswith("es-small")]
    assert len(set(names)) == 2
    assert all(re.fullmatch(r"es-small-\d{8}T\d{6}-[0-9a-f]{4}", name) for name in names)
