"""Which volumes there are: their names, sizes, layers and snapshots, as documents in coordination.

`volume.py` has the values and what may be done to them, `family.py` what follows from who shares what, both pure;
`record.py` their form in bytes; `store.py` reads and changes them, each by one compare-and-set of one document. Nothing
here touches data: layers that are nobody's are noted, and dropped by `blockgw.maintenance`.
"""
