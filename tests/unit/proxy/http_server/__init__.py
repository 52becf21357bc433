"""The HTTP server over real sockets, on the event loop that runs it in production."""
