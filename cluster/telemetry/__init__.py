"""What operators see of a running daemon: log lines, metrics, health.

`log`: an event per line on stderr. `metrics`: counters, gauges and histograms that cost an addition
where they count. `http`: serves both /metrics and /healthz on the daemon's admin port.
"""
