"""Grafana's dashboards as code; `dashboards/*.json` is written from here."""
