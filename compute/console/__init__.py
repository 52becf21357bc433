"""The console: a web page over the public APIs of a cluster, served on a port of its own.

The daemon gives out static files, passes requests below /api/SERVICE/ on to the services (so that a page needs no
other origin than its own), and tells administrators how the cluster is. It knows nobody's secret and keeps no session:
who asks shows a token, or signs in the browser, and each service judges that for itself. The page (`static/`) is HTML,
CSS and ES modules as they are written; there is no build step, and it asks nobody but this daemon.

Read first: upstreams (which services there are), headers (what passes), relay (how bytes go), access (who is an
administrator), view (how the cluster is), application (paths), serving (the process).
"""
