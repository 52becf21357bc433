"""multipart/byteranges."""

from proxy.swift.byteranges import ByteRanges


def test_the_frame_is_as_rfc_9110_has_it_and_its_length_is_right() -> None:
    """RFC 9110 §14.6."""
    data = b"0123456789"
    frame = ByteRanges([(0, 2), (5, 9)], len(data), "text/plain", "XX")
    whole = b""
    for index, (start, end) in enumerate(frame.bounds):
        whole += frame.before(index) + data[start:end]
    whole += frame.after()
    assert whole == (
        b"--XX\r\nContent-Type: text/plain\r\nContent-Range: bytes 0-1/10\r\n\r\n01"
        b"\r\n--XX\r\nContent-Type: text/plain\r\nContent-Range: bytes 5-8/10\r\n\r\n5678\r\n--XX--"
    )
    assert frame.length() == len(whole)
    assert frame.content_type == "multipart/byteranges;boundary=XX"
