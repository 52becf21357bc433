"""The block storage API, version 3: requests to documents and back.

Read first: versions (what a client may ask for), service (from a request to an operation), routes. A module per noun
has its operations and its documents; what they share is in requests, forms and lists.
"""
