"""The web UI (Streamlit): read a scan, see champions and history, drop a batch, review labels."""
