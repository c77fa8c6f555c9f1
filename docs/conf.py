"""How Sphinx builds the site. `scripts/docs` builds it; nothing is read from the network."""

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE / "_ext"), str(HERE.parent)]

from grace_client import __version__  # noqa: E402

project = "grace"
author = "The grace developers"
version = release = __version__
extensions = ["sphinx.ext.autodoc", "sphinx.ext.napoleon", "myst_parser", "sphinx_design", "grace_site"]
exclude_patterns = ["_build", "_ext"]

# Links and anchors: a link to a page, a heading or a name that does not exist fails the build (-W).
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 4
suppress_warnings = ["misc.highlighting_failure"]

# Names in single backticks in docstrings become links where they name something on the site.
default_role = "py:obj"
autodoc_default_options = {"members": True, "member-order": "bysource", "show-inheritance": False}
autodoc_typehints = "signature"
napoleon_use_ivar = True
autodoc_preserve_defaults = True
napoleon_google_docstring = False
napoleon_use_rtype = False
napoleon_preprocess_types = False
python_maximum_signature_line_length = 90
add_module_names = False
toc_object_entries_show_parents = "hide"
highlight_language = "text"
smartquotes = False  # "--option" is no dash

html_theme = "pydata_sphinx_theme"
html_title = "grace"
html_static_path = ["_static"]
html_css_files = ["grace.css"]
html_math_renderer = "mathml"
html_copy_source = False
html_show_sourcelink = False
html_sidebars = {"index": [], "contributing": [], "changelog": []}
html_theme_options = {
    "navbar_align": "left",
    "navbar_end": ["theme-switcher"],
    "show_prev_next": True,
    "show_toc_level": 2,
    "secondary_sidebar_items": {"**": ["page-toc"], "index": []},
    "footer_start": ["copyright"],
    "footer_end": [],
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
    "back_to_top_button": False,
}
copyright = "The grace developers, Apache-2.0"
