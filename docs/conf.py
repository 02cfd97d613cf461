"""How sphinx builds these pages: ``sphinx-build -W -b html docs out/docs``, with both packages importable."""

import sys
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed
from pathlib import Path

import matplotlib
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.ext.autosummary import autosummary_toc

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))
matplotlib.use("Agg")

from formulas import visit_math, visit_math_block  # noqa: E402  they stand beside this file
from pages import draw_pictures  # noqa: E402

project = "netgraph"
author = "the netgraph authors"
copyright = "the netgraph authors, Apache-2.0"
try:
    release = installed("netgraph-pruning")
except PackageNotFoundError:
    release = "0.1.0"

extensions = [
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx_gallery.gen_gallery",
]
exclude_patterns = ["_build", "gallery"]
templates_path = ["_templates"]
default_role = "autolink"

myst_enable_extensions = ["amsmath", "deflist", "dollarmath"]
myst_heading_anchors = 3

autosummary_generate = True
autodoc_typehints = "none"
autodoc_mock_imports = ["lightning", "transformers"]
numpydoc_show_class_members = False
CLASSES = {
    "netgraph": ["Cut", "Repair", "Sweep"],
    "prune_adapters": ["Redundancy", "Report"],
}
"""Classes with a function of the same name in small letters: on some disks one page would overwrite the other."""
autosummary_filename_map = {
    f"{package}.{name}": f"{package}.{name}-class" for package, names in CLASSES.items() for name in names
}

sphinx_gallery_conf = {
    "examples_dirs": "gallery",
    "gallery_dirs": "auto_gallery",
    "filename_pattern": "/plot_",
    "download_all_examples": False,
    "show_signature": False,
    "min_reported_time": 1,
}

html_math_renderer = "mathml"
html_theme = "furo"
html_title = f"netgraph {release}"
html_static_path = ["_static"]
html_css_files = ["netgraph.css"]
html_show_sphinx = False
html_copy_source = False
html_theme_options = {
    "light_css_variables": {"color-brand-primary": "#0072B2", "color-brand-content": "#0072B2"},
    "dark_css_variables": {"color-brand-primary": "#56B4E9", "color-brand-content": "#56B4E9"},
}


def leave_out_of_sidebar(app: Sphinx, doctree: nodes.document) -> None:
    """Drop the entries of single names: to list them all on the side of each page takes most of the time of a build."""
    for entries in list(doctree.findall(autosummary_toc)):
        entries.parent.remove(entries)


def run_pages(app: Sphinx) -> None:
    """Draw the pictures of the pages before sphinx looks for them; the pages then say what was printed beside."""
    texts = draw_pictures(HERE, HERE / "pictures")
    app.connect("source-read", lambda app, name, source: source.__setitem__(0, texts.get(name, source[0])))


def setup(app: Sphinx) -> None:
    """Connect what this file adds, and the formulas that need no network."""
    app.connect("builder-inited", run_pages, priority=100)
    app.add_html_math_renderer("mathml", (visit_math, None), (visit_math_block, None))
    app.connect("doctree-read", leave_out_of_sidebar, priority=100)
