"""Grafana's dashboards: `dashboards` says what they show, `schema` writes what Grafana reads: `make dashboards`."""
