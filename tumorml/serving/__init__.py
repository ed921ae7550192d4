"""Predictions by the champions: HTTP API, web UI and scoring of stored scans."""
