"""zlib itself, and DER by hand, as the other side of compressed messages (RFC 3274).

compressed.py open smime|der|pem IN OUT
compressed.py make NAME IN OUT        NAME: one of MADE
compressed.py zeros LENGTH OUT        so many zero bytes
compressed.py ratio MORE OUT          zero bytes, a hundred for each compressed one and so many more; prints how many
"""

import base64
import email
import sys
import zlib

DATA = bytes.fromhex("06092a864886f70d010701")
COMPRESSED_DATA = bytes.fromhex("060b2a864886f70d0109100109")
ZLIB = bytes.fromhex("060b2a864886f70d0109100308")


def tlv(tag, content):
    size = len(content)
    if size < 128:
        return bytes([tag, size]) + content
    octets = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(octets)]) + octets + content


def indefinite(tag, content):
    return bytes([tag, 0x80]) + content + b"\0\0"


def segments(data, size):
    return b"".join(tlv(4, data[i : i + size]) for i in range(0, len(data), size))


def message(octets, parameters=b"", wrap=tlv):
    content = wrap(0x30, DATA + wrap(0xA0, octets))
    data = wrap(0x30, b"\x02\x01\x00" + tlv(0x30, ZLIB + parameters) + content)
    return wrap(0x30, COMPRESSED_DATA + wrap(0xA0, data))


def deflate(data, level=-1, window=15):
    stream = zlib.compressobj(level, zlib.DEFLATED, window)
    half = len(data) // 2
    return stream.compress(data[:half]) + stream.flush(zlib.Z_FULL_FLUSH) + stream.compress(data[half:]) + stream.flush()


MADE = {
    "der": lambda d: message(tlv(4, zlib.compress(d))),
    "null": lambda d: message(tlv(4, zlib.compress(d)), b"\x05\x00"),
    "stored": lambda d: message(tlv(4, deflate(d, 0))),
    "fast": lambda d: message(tlv(4, deflate(d, 1, 9))),
    "best": lambda d: message(tlv(4, deflate(d, 9))),
    "segments": lambda d: message(tlv(0x24, segments(zlib.compress(d), 100))),
    "bytes": lambda d: message(indefinite(0x24, segments(zlib.compress(d), 1)), wrap=indefinite),
    "nested": lambda d: message(tlv(0x24, indefinite(0x24, tlv(0x24, segments(zlib.compress(d), 999)))), wrap=indefinite),
    # that must be refused
    "truncated": lambda d: message(tlv(4, zlib.compress(d)[:-5])),
    "checksum": lambda d: message(tlv(4, zlib.compress(d)[:-1] + b"\x55")),
    "trailing": lambda d: message(tlv(4, zlib.compress(d) + b"x")),
    "twice": lambda d: message(tlv(4, zlib.compress(d) * 2)),
    "raw": lambda d: message(tlv(4, zlib.compress(d)[2:-4])),
    "cut": lambda d: message(tlv(4, zlib.compress(d)))[:-40],
}


def zeros(length, compressed=0):
    stream = zlib.compressobj(9)
    head = b"".join(stream.compress(bytes(min(1 << 20, length - i))) for i in range(0, length, 1 << 20))
    head += stream.flush(zlib.Z_SYNC_FLUSH)
    rest = stream.flush()
    # empty stored blocks fill it up
    blocks = max(0, -(-(compressed - len(head) - len(rest)) // 5))
    return head + b"\0\0\0\xff\xff" * blocks + rest


def elements(data):
    """(tag, content) of all elements side by side; content is bytes, or a list where it is constructed."""
    out = []
    while data:
        tag, first, data = data[0], data[1], data[2:]
        if first == 0x80:
            inner, data = until_end(data)
            out.append((tag, inner))
            continue
        if first & 0x80:
            count = first & 0x7F
            first, data = int.from_bytes(data[:count], "big"), data[count:]
        content, data = data[:first], data[first:]
        assert len(content) == first
        out.append((tag, elements(content) if tag & 0x20 else content))
    return out


def until_end(data):
    """The elements up to the end-of-contents octets, and what follows. Only what compressed messages are made of."""
    out = []
    while data[:2] != b"\0\0":
        tag, first = data[0], data[1]
        if first == 0x80:
            inner, data = until_end(data[2:])
            out.append((tag, inner))
            continue
        size = 2
        if first & 0x80:
            size += first & 0x7F
            first = int.from_bytes(data[2:size], "big")
        out += elements(data[: size + first])
        data = data[size + first :]
    return out, data[2:]


def joined(element):
    tag, content = element
    return content if tag == 4 else b"".join(map(joined, content))


def opened(form, data):
    if form == "smime":
        mail = email.message_from_bytes(data)
        assert mail.get_content_type() == "application/pkcs7-mime", mail["Content-Type"]
        assert mail.get_param("smime-type") == "compressed-data"
        assert mail.get_filename() == "smime.p7z"
        assert mail["MIME-Version"] == "1.0"
        data = mail.get_payload(decode=True)
    elif form == "pem":
        lines = data.decode().splitlines()
        assert (lines[0], lines[-1]) == ("-----BEGIN CMS-----", "-----END CMS-----")
        data = base64.b64decode("".join(lines[1:-1]), validate=True)
    ((_, (kind, (_, ((_, fields),)))),) = elements(data)
    assert kind == (6, COMPRESSED_DATA[2:])
    version, (_, algorithm), (_, (inner, (explicit, (octets,)))) = fields
    assert version == (2, b"\0") and algorithm == [(6, ZLIB[2:])]
    assert inner == (6, DATA[2:]) and explicit == 0xA0
    stream = zlib.decompressobj()
    content = stream.decompress(joined(octets)) + stream.flush()
    assert stream.eof and not stream.unused_data
    return content


def main(command, *args):
    out = args[-1]
    if command == "zeros":
        made = message(tlv(4, zeros(int(args[0]))))
    elif command == "ratio":
        # filling up goes in steps of five bytes
        compressed = len(zeros(4_000_000, 40_000))
        length = 100 * compressed + int(args[0])
        stream = zeros(length, compressed)
        assert len(stream) == compressed
        made = message(tlv(4, stream))
        print(length)
    else:
        with open(args[1], "rb") as file:
            data = file.read()
        made = opened(args[0], data) if command == "open" else MADE[args[0]](data)
    with open(out, "wb") as file:
        file.write(made)


main(*sys.argv[1:])
