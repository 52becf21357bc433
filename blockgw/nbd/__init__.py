"""The NBD server: fixed newstyle, structured replies, extended headers, TLS; on unix sockets and TCP.

What it promises:
- each request that was taken is answered once, with what the volume says, or an error, unless the volume is lost to us:
  then the connection is closed without;
- a client's bytes, whatever they are, do no more than end its connection;
- memory is bounded, by `Limits`, whatever clients do;
- to close, of one export or all, is to answer what was taken and then to hang up: a client that connects again
  and repeats what was not answered loses nothing.

It does not know what a volume is: see `blockgw.interfaces`.

Read first: docs/nbd.md; protocol (requests, and which of them are refused); simple, structured, extended (three
dialects of one kind); options and handshake; then the sockets: negotiation, transmission, server. Nothing is imported
here: clients of NBD take the codecs, and not the server with them.
"""
