"""The page of `prune_adapters.html` in a headless browser: sorted, pointed at, darkened and made small."""

import importlib.util
import json
import shutil
import tempfile
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

import netgraph as ng
from prune_adapters.html import html_report

if TYPE_CHECKING:
    from selenium.webdriver import Chrome
    from selenium.webdriver.remote.webelement import WebElement

BROWSER, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
FLAGS = """--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking
    --disable-component-update --disable-sync --window-size=1280,900"""
HOSTILE = "<img src=x onerror=document.title='hurt'>"

pytestmark = pytest.mark.skipif(
    BROWSER is None or DRIVER is None or importlib.util.find_spec("selenium") is None,
    reason="needs selenium, chromium and chromedriver",
)


@pytest.fixture(scope="module")
def browser() -> "Iterator[Chrome]":
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = str(BROWSER)
    for flag in FLAGS.split():
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        options.add_argument(f"--user-data-dir={profile}")
        driver = webdriver.Chrome(options=options, service=Service(DRIVER))
        yield driver
        driver.quit()


def pruned(seed: int) -> ng.NetGraph:
    """Return a chain of eight layers with dead and constant units, one of them with a name that is markup."""
    random = np.random.default_rng(seed)
    widths = [12, 9, 16, 10, 8, 14, 6, 5]
    blocks = [random.random((b, a)) < 0.16 for a, b in pairwise(widths)]
    return ng.from_biadjacency(blocks, layers=["input", *(f"block.{i}" for i in range(1, 7)), HOSTILE])


@pytest.fixture
def opened(browser: "Chrome", tmp_path: Path) -> "Iterator[Chrome]":
    """Open the page; after the test its console must be empty and no request may have left it."""
    path = tmp_path / "page.html"
    html_report(pruned(0), path, compare=pruned(1), names=("a second $&", HOSTILE), title=HOSTILE)
    resize(browser, 1280, 900)
    browser.get(path.as_uri())
    yield browser
    messages = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    sent = [m["params"] for m in messages if m["method"] == "Network.requestWillBeSent"]

    assert browser.get_log("browser") == []
    # The browser's own start page asks for files of its own.
    assert {one["request"]["url"] for one in sent if one["documentURL"] == path.as_uri()} == {path.as_uri()}


def resize(browser: "Chrome", width: int, height: int) -> None:
    size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)


def one(browser: "Chrome", selector: str) -> "WebElement":
    return browser.find_element("css selector", selector)


def column(browser: "Chrome", number: int) -> list[str]:
    return [cell.text for cell in browser.find_elements("css selector", f"#layer-table tbody td:nth-child({number})")]


def point_at(browser: "Chrome", selector: str) -> None:
    from selenium.webdriver.common.action_chains import ActionChains

    browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", one(browser, selector))
    ActionChains(browser, duration=50).move_to_element(one(browser, selector)).perform()


def test_a_click_on_a_header_sorts_the_table(opened: "Chrome") -> None:
    before = column(opened, 2)
    one(opened, "#layer-table th:nth-child(2) button").click()
    falling = column(opened, 2)
    one(opened, "#layer-table th:nth-child(2) button").click()
    rising = column(opened, 2)

    assert before == ["12", "9", "16", "10", "8", "14", "6", "5"]
    assert falling == sorted(before, key=int, reverse=True)
    assert rising == sorted(before, key=int)
    assert one(opened, "#layer-table th:nth-child(2)").get_attribute("aria-sort") == "ascending"


def test_missing_numbers_stay_last(opened: "Chrome") -> None:
    for _ in range(2):
        one(opened, "#layer-table th:nth-child(10) button").click()

        assert column(opened, 10)[-1] == "-"


def test_the_filter_leaves_what_fits(opened: "Chrome") -> None:
    one(opened, "#layer-table input").send_keys("block 3")

    assert column(opened, 1) == ["block.3"]
    assert one(opened, "#count").text == "1 of 8 layers"


def test_pointing_at_a_layer_tells_why_units_are_dead(opened: "Chrome") -> None:
    graph = pruned(0)
    dead = int((~ng.co_accessible(graph)[graph.slices["block.2"]]).sum())
    point_at(opened, '[data-node="2"] .box')
    text = one(opened, "#tip").text

    assert text.startswith("block.2")
    assert f"{dead} of 16 units are dead" in text


def test_a_click_keeps_the_text_and_explains_a_unit(opened: "Chrome") -> None:
    point_at(opened, '[data-node="2"] .box')
    one(opened, '[data-node="2"]').click()
    point_at(opened, "#fit")
    kept = one(opened, "#tip pre").text
    one(opened, "#tip .close").click()

    assert "is dead: no output changes with it" in kept
    assert not one(opened, "#tip").is_displayed()


def test_pointing_at_a_line_counts_its_edges(opened: "Chrome") -> None:
    edges = int(pruned(0).kept(0).sum())
    point_at(opened, '[data-edge="0"] .hit')

    assert f"{edges} of 108 pairs of units" in one(opened, "#tip").text


def test_zooming_makes_the_drawing_larger(opened: "Chrome") -> None:
    width = "return document.getElementById('drawing').getBoundingClientRect().width"
    before = opened.execute_script(width)
    one(opened, "#in").click()

    assert opened.execute_script(width) == pytest.approx(1.3 * before, rel=0.01)


def test_the_button_changes_between_light_and_dark(opened: "Chrome") -> None:
    colours = []
    for _ in range(3):
        colours.append(one(opened, "body").value_of_css_property("background-color"))
        one(opened, "#theme").click()

    assert colours[0] == colours[2] != colours[1]


def test_a_phone_has_no_sideways_scrolling(opened: "Chrome") -> None:
    resize(opened, 390, 844)
    widths = "return [document.documentElement.scrollWidth, innerWidth]"

    assert opened.execute_script(widths) == [390, 390]
    one(opened, '[data-node="1"]').click()
    assert opened.execute_script("return document.getElementById('tip').getBoundingClientRect().right") <= 390


def test_the_other_graph_is_one_click_away(opened: "Chrome") -> None:
    one(opened, "#choice button:nth-child(2)").click()
    kept = ng.density(pruned(1))

    assert one(opened, "#tiles b").text == f"{100 * (1 - kept):.1f} %"
    assert opened.find_elements("css selector", "#jaccard .row")


def test_names_are_shown_and_not_run(opened: "Chrome") -> None:
    assert opened.title == HOSTILE
    assert column(opened, 1)[-1] == HOSTILE
    assert one(opened, "#difference-table th:nth-child(3)").text == "a second $&"
    assert opened.find_elements("css selector", "img") == []


def test_a_graph_without_weights_opens(opened: "Chrome", tmp_path: Path) -> None:
    graph = ng.NetGraph({"x": 1, "empty": 0, "y": 1}, (ng.Wiring("x", "y", 1),), np.zeros(0), [0], [1])
    html_report(graph, tmp_path / "page.html")
    opened.refresh()

    assert column(opened, 1) == ["x", "empty", "y"]
