"""Sphinx builds these pages with `make docs`; a warning is an error there."""

project = "electra-pipeline"
extensions = ["myst_parser"]
html_theme = "furo"
html_title = project
html_static_path = ["_static"]
html_css_files = ["wide.css"]
myst_heading_anchors = 3  # headings are targets of links, with the same names as on GitHub
