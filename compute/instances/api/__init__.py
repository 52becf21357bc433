"""The compute API, version 2.1: requests to documents and back.

Read first: versions (what a client may ask for), `compute.microversions` (from a request to an operation), routes. A
module per noun has its operations and its documents; what they share is in requests, forms and lists.
"""
