"""What a page shows where there is nothing yet: what is missing, and the next step."""

from __future__ import annotations

import streamlit as st


def empty(title: str, text: str, page: str | None = None, label: str = "Go there") -> None:
    """Show an empty state; `page` is the file name of the page that leads on."""
    with st.container(border=True, horizontal_alignment="center"):
        st.markdown(f"#### {title}")
        st.markdown(text)
        if page is not None:
            st.page_link(f"app_pages/{page}.py", label=label, icon=":material/arrow_forward:")
