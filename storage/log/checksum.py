"""crc32c of buffers. Castagnoli's polynomial, as iSCSI (RFC 3720, appendix B.4); done in hardware."""

from collections.abc import Callable

from awscrt import checksums

# crc32c(buffer, previous=0): the checksum of what `previous` covers followed by `buffer`
crc32c: Callable[..., int] = checksums.crc32c
