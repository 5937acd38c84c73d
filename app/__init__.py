"""The Streamlit app: explore a Pareto front, drag a latency slider, compare, export; it comes after `nas`."""
