"""Images fetched from where their users say: what may be asked, of which addresses, and how it is fetched.

Who says from where chooses where this host connects to: `uris` has the operator's rules, `addresses` keeps private
networks out, and `fetching` connects to the very address that was looked at, each time it is sent elsewhere, too.
"""
