"""The command that does what a page does."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from nas.jobs import command_line


def show_command(argv: Sequence[str]) -> None:
    """Show the command line to copy."""
    with st.expander("The same from the command line", icon=":material/terminal:"):
        st.code(command_line(argv), language="bash", wrap_lines=True)
