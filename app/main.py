"""The script that Streamlit runs: the pages and what surrounds them."""

from __future__ import annotations

import streamlit as st

st.set_page_config(page_title="anyfit", page_icon=":material/tune:", layout="wide")

PAGES = {
    "": [("home", "Home", "home")],
    "Find": [
        ("search", "Search", "search"),
        ("explore", "Explore", "scatter_plot"),
        ("latency", "Latency", "speed"),
        ("zoo", "Published models", "pets"),
    ],
    "Try": [
        ("classify", "Try it", "image_search"),
        ("generator", "GAN editor", "face_retouching_natural"),
        ("diffuse", "Diffusion", "auto_awesome"),
    ],
    "Take": [("export", "Export", "download")],
}

page = st.navigation(
    {
        section: [
            st.Page(f"app_pages/{file}.py", title=title, icon=f":material/{icon}:", default=file == "home")
            for file, title, icon in pages
        ]
        for section, pages in PAGES.items()
    }
)
with st.sidebar:
    from app.parts.sidebar import sidebar

    sidebar()
page.run()
