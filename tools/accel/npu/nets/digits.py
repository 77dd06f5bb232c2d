#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""Pack handwritten digits for the digit classifier.

The digits are the 1797 scanned, 8 by 8 pixel ones (0 white to 16 black) of the
UCI "optical recognition of handwritten digits" set, which Debian ships inside
python3-sklearn. They are doubled in size to what the network takes. The part
that the network was not trained on is the test split, and only that is packed.

The packed file, little endian, is read by the C client:

    char magic[8]   "DIGITS01"
    u32  count
    u32  width      16
    u32  height     16
    count times:
        u8 label    0 to 9
        u8 pixels[width * height]   row by row, 0 paper to 255 ink

The pixels are what the network's input tensor holds.
"""

import argparse
import gzip
import io
import random
import struct
import subprocess
import sys
import tarfile
import zlib

MEMBER = "sklearn/datasets/data/digits.csv.gz"
MAGIC = b"DIGITS01"
SOURCE_SIZE = 8
SIZE = 2 * SOURCE_SIZE
TEST_DIGITS = 397
SPLIT_SEED = 8

# What a file that is missing, damaged or another one raises.
BAD_SOURCE = (OSError, EOFError, ValueError, zlib.error, tarfile.TarError,
              subprocess.CalledProcessError)


def read_csv(source):
    """The text of digits.csv, from the package or from the file itself."""
    if source.endswith(".deb"):
        tar = subprocess.run(["dpkg-deb", "--fsys-tarfile", source],
                             stdout=subprocess.PIPE, check=True).stdout
        with tarfile.open(fileobj=io.BytesIO(tar)) as archive:
            for member in archive:
                if member.name.endswith(MEMBER):
                    data = archive.extractfile(member).read()
                    return gzip.decompress(data).decode("ascii")
        raise ValueError("%s holds no %s" % (source, MEMBER))
    with gzip.open(source, "rt", encoding="ascii") as file:
        return file.read()


def enlarge(small):
    """Twice the size: bilinear, between pixel centres, the border repeated."""
    def at(row, column):
        return small[min(max(row, 0), SOURCE_SIZE - 1) * SOURCE_SIZE +
                     min(max(column, 0), SOURCE_SIZE - 1)]

    out = bytearray()
    for y in range(SIZE):
        near, far = y // 2, y // 2 + (1 if y % 2 else -1)
        for x in range(SIZE):
            close, away = x // 2, x // 2 + (1 if x % 2 else -1)
            ink = (9 * at(near, close) + 3 * at(near, away) +
                   3 * at(far, close) + at(far, away))
            out.append((ink * 255 + 128) // 256)
    return bytes(out)


def load(source):
    """All digits as (label, pixels), checked."""
    digits = []
    for number, line in enumerate(read_csv(source).splitlines(), 1):
        values = [int(field) for field in line.split(",")]
        if (len(values) != SOURCE_SIZE ** 2 + 1 or not 0 <= values[-1] <= 9 or
                not all(0 <= ink <= 16 for ink in values[:-1])):
            raise ValueError("digits.csv line %d is not a digit" % number)
        digits.append((values[-1], enlarge(values[:-1])))
    if len(digits) <= TEST_DIGITS:
        raise ValueError("digits.csv holds %d digits only" % len(digits))
    return digits


def split(digits):
    """(training, test): the same for everybody who calls this."""
    shuffled = list(digits)
    random.Random(SPLIT_SEED).shuffle(shuffled)
    return shuffled[TEST_DIGITS:], shuffled[:TEST_DIGITS]


def pack(digits):
    parts = [MAGIC, struct.pack("<III", len(digits), SIZE, SIZE)]
    parts += [bytes([label]) + pixels for label, pixels in digits]
    return b"".join(parts)


def main():
    parser = argparse.ArgumentParser(
        description="Pack the test digits for the NPU's digit classifier.")
    parser.add_argument("source", help="python3-sklearn's .deb, or the "
                        "digits.csv.gz out of it")
    parser.add_argument("output")
    parser.add_argument("--count", type=int, default=TEST_DIGITS,
                        help="how many digits (default: all %(default)s of "
                        "the test split)")
    args = parser.parse_args()
    if not 1 <= args.count <= TEST_DIGITS:
        parser.error("the test split has %d digits" % TEST_DIGITS)
    try:
        _, test = split(load(args.source))
        with open(args.output, "wb") as file:
            file.write(pack(test[:args.count]))
    except BAD_SOURCE as error:
        sys.exit("digits.py: %s" % error)


if __name__ == "__main__":
    main()
