"""The report in a real browser, without a screen."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from typing import Any

import cv2
import numpy as np
import pytest
import simplejpeg
from test_report import NASTY, evaluation

from eval.report.results import write_report
from eval.report.strips import Strip, Strips

WIDTHS = (1280, 390)
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"]
FLAGS += ["--disable-background-networking", "--disable-component-update", "--hide-scrollbars"]
WATCH = """<script>window.errors = [];
addEventListener("error", event => errors.push(event.message || String(event.target.src)), true);
addEventListener("securitypolicyviolation", event => errors.push("fetches " + event.blockedURI));</script>"""
HARNESS = """<!doctype html><meta charset="utf-8"><body style="margin:0">%s<pre id="found"></pre><script>
const box = element => { const b = element.getBoundingClientRect(); return [b.left, b.right]; };
addEventListener("load", () => {
  const found = [...document.querySelectorAll("iframe")].map(frame => {
    const page = frame.contentDocument, view = frame.contentWindow, canvas = page.querySelector("canvas");
    const labels = () => [...page.querySelectorAll("svg.left text title")].map(title => title.textContent);
    const bars = () => [...page.querySelectorAll("#bars .name")].map(name => name.textContent);
    const choose = (id, value) => {
      page.getElementById(id).value = value;
      page.getElementById(id).dispatchEvent(new view.Event("change"));
    };
    const first = labels(), lowest = bars(), at = canvas.getBoundingClientRect();
    const drawn = new Set(canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data).size;
    canvas.dispatchEvent(new view.MouseEvent("click", { clientX: at.left + 3, clientY: at.top + 3 }));
    const readout = page.getElementById("readout").textContent;
    choose("matrix-order", "name"); choose("bars-order", "-accuracy");
    return {
      errors: view.errors, width: page.documentElement.scrollWidth, cards: [...page.querySelectorAll(".card")].map(box),
      first, byName: labels(), lowest, highest: bars(), readout, drawn, pictures: [...page.images].map(i => i.naturalWidth),
    };
  });
  document.getElementById("found").textContent = JSON.stringify(found);
});
</script>"""


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What a browser makes of a report of 101 classes, in a page 1280 and one 390 pixels wide."""
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("chromium is not installed: apt-get install chromium")
    folder = tmp_path_factory.mktemp("browser")
    picture = simplejpeg.encode_jpeg(cv2.resize(np.full((2, 2, 3), 90, np.uint8), (96, 72)))
    strips = Strips(*(tuple(Strip(i, (picture,) * 4) for i in videos) for videos in (range(8), range(8, 16))))
    names = ("</script><b>", NASTY, *(f"Class{i:03d}" for i in range(99)))
    done = evaluation(folder, names, strips=strips, every_class=True)
    (folder / "curves.svg").write_text("<svg xmlns='http://www.w3.org/2000/svg' width='9' height='9'/>")
    write_report(done, folder / "report")
    report = (folder / "report/report.html").read_text(encoding="utf-8").replace("<head>", f"<head>{WATCH}")
    frames = "".join(
        f'<iframe style="width:{w}px;height:800px;border:0" srcdoc="{html.escape(report)}"></iframe>' for w in WIDTHS
    )
    (folder / "harness.html").write_text(HARNESS % frames, encoding="utf-8")
    profile = f"--user-data-dir={folder / 'profile'}"
    command = [chromium, *FLAGS, profile, "--window-size=1800,900", "--dump-dom", (folder / "harness.html").as_uri()]
    dom = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout
    found = re.search(r'<pre id="found">(.*?)</pre>', dom, re.DOTALL)
    assert found, dom[-2000:]
    value: list[dict[str, Any]] = json.loads(html.unescape(found[1]))
    return value


def test_the_page_has_no_script_errors_and_fetches_nothing(pages: list[dict[str, Any]]) -> None:
    assert [page["errors"] for page in pages] == [[], []]


def test_the_page_fits_1280_and_390_pixels(pages: list[dict[str, Any]]) -> None:
    for page, width in zip(pages, WIDTHS, strict=True):
        assert page["width"] <= width
        assert all(0 <= left < right <= width for left, right in page["cards"])
        assert len(page["pictures"]) == 1 + 16 * 4
        assert min(page["pictures"]) > 0


def test_the_matrix_and_the_bars_can_be_sorted_and_names_stay_text(pages: list[dict[str, Any]]) -> None:
    for page in pages:
        assert len(page["first"]) == 101
        assert {"</script><b>", NASTY} < set(page["first"])
        assert page["byName"] != page["first"]
        classes = [name for name in page["byName"] if name.startswith("Class")]
        assert classes == sorted(classes)
        assert page["lowest"] != page["highest"]
        assert sorted(page["lowest"]) == sorted(page["highest"])
        assert page["drawn"] > 3
        name = page["first"][0]
        assert re.fullmatch(rf"{re.escape(name)} taken for {re.escape(name)}: \d+ of \d+ videos", page["readout"])
