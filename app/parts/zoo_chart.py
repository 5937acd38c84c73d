"""The chart of published models: latency here against published accuracy."""

from __future__ import annotations

import altair as alt
import numpy as np
import pandas as pd

from app.parts.charts import BLUE, GREY, RED, SKY, Layered
from nas.zoo import Forecast


def zoo_chart(found: Forecast, limit_ms: float, label: str, height: int = 420) -> Layered:
    """Return every usable model within a factor of the budget, the front and the budget."""
    near = (found.ms > limit_ms / 12) & (found.ms < 4 * limit_ms)
    shown: list[int] = np.flatnonzero(found.usable & near).tolist()
    front = [index for index in found.front(4 * limit_ms) if found.ms[index] > limit_ms / 12]
    data = pd.DataFrame(
        {
            "model": [f"{found.models[index].name}, {found.models[index].image_size} px" for index in shown],
            "latency": found.ms[shown].round(4),
            "accuracy": found.quality[shown],
            "known": np.where(np.isnan(found.measured_ms[shown]), "predicted", "measured"),
            "license": [found.models[index].license for index in shown],
        }
    )
    title = f"{label} on ImageNet, published (%)"
    x = alt.X("latency:Q", title="latency here (ms)", scale=alt.Scale(type="log", nice=False, padding=8))
    y = alt.Y("accuracy:Q", title=title, scale=alt.Scale(zero=False, padding=8))
    colours = alt.Scale(domain=["predicted", "measured"], range=[SKY, BLUE])
    points = (
        alt.Chart(data)
        .mark_point(filled=True, opacity=0.7)
        .encode(
            x=x, y=y,
            color=alt.Color("known:N", scale=colours, legend=alt.Legend(title=None, orient="bottom")),
            size=alt.condition("datum.known === 'measured'", alt.value(70), alt.value(22)),
            tooltip=["model:N", alt.Tooltip("accuracy:Q", title=title, format=".2f"),
                     alt.Tooltip("latency:Q", title="latency (ms)", format=".4~g"), "known:N", "license:N"],
        )
    )  # fmt: skip
    line = pd.DataFrame({"latency": found.ms[front], "accuracy": found.quality[front]})
    rule = alt.Chart(pd.DataFrame({"latency": [limit_ms]})).encode(x="latency:Q")
    return alt.layer(
        points,
        alt.Chart(line).mark_line(interpolate="step-after", color=GREY, strokeWidth=1.5).encode(x=x, y=y),
        rule.mark_rule(color=RED, strokeDash=[6, 4], strokeWidth=1.5),
    ).properties(
        height=height, description=f"Scatter of {len(shown)} published models and their Pareto front"
    )


__all__ = ["zoo_chart"]
