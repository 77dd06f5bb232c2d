#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""Write networks of one operation each, to compare the NPU with the CPU.

    grid.py OUTDIR                 a subset that runs in a minute
    grid.py --full OUTDIR          everything: 4007 networks, 0.6 GB
    grid.py --full --only 'add-s8-*' --list

The shapes are those that Mesa tests its delegates with: convolutions,
depthwise convolutions, and additions of two convolutions. Each network has one
uint8 input and one uint8 output. Weights, bias, scales and zero points are
random, but follow from the name alone. Output scales fit uniformly random
input bytes: outputs then cover 0 to 255 and few saturate. Names:

    conv-s<size>-k<kernel>-i<inputs>-o<outputs>-t<stride>-<same|valid>
    dw-s<size>-k<kernel>-c<channels>-t<stride>-<same|valid>
    add-<as conv>
    addq-<number>      1 x 1 over 40 x 40, one channel: only numbers differ

OUTDIR/LIST names them, one a line. Shapes that the delegate cannot compile at
all are not written; OUTDIR/LEFT-OUT names those. Where the delegate is known
to differ from the CPU, known-differences.txt says so and why.
"""

import argparse
import collections
import fnmatch
import itertools
import math
import os
import random
import sys

import tflite

SIZES = (3, 5, 8, 80, 112)
KERNELS = (1, 3, 5)
CHANNELS = (1, 32, 120, 128, 160, 256)
STRIDES = (1, 2)
PADDINGS = (tflite.SAME, tflite.VALID)
BIAS = 20000
ADDQ_COUNT = 100

# The subset: how many of each kind, and the work allowed for one network.
SUBSET = (("conv", 120), ("dw", 60), ("add", 60), ("addq", 10))
SUBSET_MACS = 200000000

# Zero points that the delegate pads with rightly, in all channels. Where
# nothing is padded any zero point is right.
PADDABLE = (0, 127, 128)

# Mesa before 26.2 adds only operands of sixteen known scales, by constants that
# belong to sixteen known networks. These scales, of the second operand and of
# the first one's sums, use the one set of constants without a zero point: a
# factor of 313.671875 between them, and of 16874 / 2^23 to the result. The
# latter is kept just below, because newer ones round it up. It takes the first
# operand's zero point for the result's, so they are equal.
ADDEND_SCALE = 0.100618
SUM_SCALE = ADDEND_SCALE / 313.671875
RESULT_SCALE = SUM_SCALE / (16873.9 / 2 ** 23)
# With these a result of 8 bits holds sums whose sigma is about this.
SUM_SIGMA = 12000

# How many sigmas of the sums an output holds, of random input. A few outputs
# should saturate, but no operand of an addition: the delegate lets those pass.
FIT, ROOM = 3, 6

BYTE_SIGMA = math.sqrt((256 ** 2 - 1) / 12)     # of a uniformly random byte

Shape = collections.namedtuple(
    "Shape", "kind size kernel inputs outputs stride padding")
# A random convolution; `sums` has (mean, sigma) of each output channel's sums
# for random input.
Drawn = collections.namedtuple("Drawn", "shape weights zero bias sums")


def name(shape, number=0):
    if shape.kind == "addq":
        return "addq-%d" % number
    channels = "i%d-o%d" % (shape.inputs, shape.outputs)
    if shape.kind == "dw":
        channels = "c%d" % shape.inputs
    return "%s-s%d-k%d-%s-t%d-%s" % (
        shape.kind, shape.size, shape.kernel, channels, shape.stride,
        "same" if shape.padding == tflite.SAME else "valid")


def impossible(shape):
    """Why the delegate cannot compile a shape, or nothing when it can.

    It shares the NPU's memory, 12 banks of 256 entries of 128 bytes, between
    weights and input rows, and splits the work when not all rows fit.
    """
    atoms, size = -(-shape.inputs // 16), shape.size
    entries = atoms // 8 * size
    entries += size if atoms % 8 == 3 else -(-(atoms % 8) * size // 8)
    weights = shape.kernel ** 2 * shape.inputs
    if shape.kind != "dw":
        weights *= shape.outputs
    banks = -(-weights // (128 * 256)) + 1
    free = 12 - banks if banks < 11 else 7
    if -(-entries * size // 256) <= free:
        return None
    if banks >= 11:
        return "neither weights nor input fit: it frees the jobs' lists twice"
    rows, first = 256 * free // entries, 0
    if rows < shape.kernel:
        return "fewer rows fit than the kernel has: it splits without end"
    while shape.padding == tflite.VALID and first + rows < size:
        first += ((rows - shape.kernel) // shape.stride + 1) * shape.stride
    if size - first < shape.kernel:
        return "the last of its tasks has no output, and never ends"
    return None


def shapes(kind):
    """Every shape of one kind."""
    if kind == "addq":
        return ADDQ_COUNT * [Shape(kind, 40, 1, 1, 1, 1, tflite.VALID)]
    kernels, outputs = KERNELS, CHANNELS
    if kind == "dw":
        kernels, outputs = KERNELS[1:], (None,)
    return [Shape(kind, size, kernel, inputs, output or inputs, stride, padding)
            for size, kernel, inputs, output, stride, padding in
            itertools.product(SIZES, kernels, CHANNELS, outputs, STRIDES,
                              PADDINGS)
            if kernel <= size]


def output_size(shape):
    return tflite.output_size(shape.size, shape.kernel, shape.stride,
                              shape.padding)


def macs(shape):
    """Multiplications of one run."""
    work = (output_size(shape) * shape.kernel) ** 2 * shape.inputs
    if shape.kind != "dw":
        work *= shape.outputs
    return 2 * work if shape.kind.startswith("add") else work


def choose(candidates, count):
    """A deterministic few that pair every value of an axis with every other.

    Greedy: take what adds the most new pairs (and triples) of values for its
    cost, until there are `count`.
    """
    def combinations(shape):
        values = list(enumerate(shape[1:]))
        return (set(itertools.combinations(values, 2)) |
                set(itertools.combinations(values, 3)))

    left = {shape: combinations(shape) for shape in candidates
            if macs(shape) <= SUBSET_MACS and not impossible(shape)}
    chosen, seen = [], set()

    def gain(shape):
        new = left[shape] - seen
        pairs = sum(len(values) == 2 for values in new)
        return (20 * pairs + len(new)) / (SUBSET_MACS + macs(shape))

    while left and len(chosen) < count:
        best = max(left, key=gain)
        seen |= left.pop(best)
        chosen.append(best)
    return sorted(chosen)


def subset(kind, count):
    if kind == "addq":
        return shapes(kind)[:count]
    return choose(shapes(kind), count)


def reach(sums, sigmas):
    """(low, high) of what all channels' sums span; 0 is always within."""
    return (min(0, min(mean - sigmas * sigma for mean, sigma in sums)),
            max(0, max(mean + sigmas * sigma for mean, sigma in sums)))


def quantise(scale, low, high):
    """A quantisation of this scale, low to high in its middle."""
    middle = round(127.5 - (low + high) / 2 / scale)
    return tflite.Quant(tflite.f32(scale), min(239, max(16, middle)))


def draw(rng, shape, input_zero, limit=None):
    """Random weights and bias, the weights small enough for sums of `limit`.

    Weights are spread evenly around their zero point.
    """
    count, depthwise = shape.outputs, shape.kind == "dw"
    row = shape.kernel ** 2 * (1 if depthwise else shape.inputs)
    offset, zero = 127.5 - input_zero, rng.randint(96, 160)
    most = min(zero, 255 - zero)
    if limit:
        most = min(most, limit * math.sqrt(
            3 / (row * (BYTE_SIGMA ** 2 + offset ** 2))))
    spread = bytes(round(zero - most + byte * 2 * most / 255)
                   for byte in range(256))
    weights = rng.randbytes(count * row).translate(spread)
    bias = [rng.randint(-BIAS, BIAS) for _ in range(count)]
    squares, sums = [(byte - zero) ** 2 for byte in range(256)], []
    for channel in range(count):
        own = (weights[channel::count] if depthwise else
               weights[channel * row:(channel + 1) * row])
        sums.append((bias[channel] + offset * (sum(own) - row * zero),
                     BYTE_SIGMA * math.sqrt(sum(squares[b] for b in own))))
    return Drawn(shape, weights, zero, bias, sums)


def place(model, label, x, drawn, unit, quant):
    """Append a drawn convolution whose sums are in units of `unit`."""
    shape = drawn.shape
    make, outer, inner = model.conv, shape.outputs, shape.inputs
    if shape.kind == "dw":
        make, outer, inner = model.depthwise, 1, shape.outputs
    scale = tflite.f32(unit / model.tensors[x][4].scale)
    return make(label, x, (outer, shape.kernel, shape.kernel, inner),
                drawn.weights, tflite.Quant(scale, drawn.zero), drawn.bias,
                quant, shape.stride, shape.padding)


def fitted(drawn, unit, sigmas, zero=None):
    """The quantisation that just holds a convolution's outputs."""
    low, high = (unit * end for end in reach(drawn.sums, sigmas))
    if zero is None:
        return quantise((high - low) / 255, low, high)
    return tflite.Quant(tflite.f32(max(high / (255 - zero), -low / zero)), zero)


def random_unit(rng, model, x):
    """What one sum is worth, for weights of a usual scale."""
    return model.tensors[x][4].scale * rng.uniform(0.006, 0.012)


def single(model, rng, x, shape):
    drawn = draw(rng, shape, model.tensors[x][4].zero)
    unit = random_unit(rng, model, x)
    return place(model, "output", x, drawn, unit, fitted(drawn, unit, FIT))


def addition(model, rng, x, shape):
    """Two convolutions and their sum.

    The delegate adds inside the convolution that makes the first operand,
    unrounded and unclamped: that one comes last and must not saturate.
    """
    zero = model.tensors[x][4].zero
    random_scales = shape.kind == "addq"
    other = draw(rng, shape, zero)
    last = draw(rng, shape, zero, None if random_scales else SUM_SIGMA)
    if random_scales:
        units = random_unit(rng, model, x), random_unit(rng, model, x)
        addend = fitted(other, units[0], ROOM)
    else:
        low, high = reach(other.sums, ROOM)
        units = 255 * ADDEND_SCALE / (high - low), SUM_SCALE
        addend = quantise(ADDEND_SCALE, low * units[0], high * units[0])
    low, high = reach(
        [(units[0] * m + units[1] * n, math.hypot(units[0] * p, units[1] * q))
         for (m, p), (n, q) in zip(other.sums, last.sums)], FIT)
    scale = (high - low) / 255 if random_scales else RESULT_SCALE
    result = quantise(scale, low, high)
    a = place(model, "other", x, other, units[0], addend)
    b = place(model, "last", x, last, units[1],
              fitted(last, units[1], ROOM, result.zero))
    return model.add("output", b, a, result)


def input_zero(rng, shape):
    """A zero point for the input: any, if the delegate can pad with it."""
    rows = (output_size(shape) - 1) * shape.stride + shape.kernel
    if rows <= shape.size:
        return rng.randint(0, 255)
    # It pads all additions as if the zero point were 0.
    return 0 if shape.kind == "add" else rng.choice(PADDABLE)


def generate(shape, label):
    """The .tflite file of one shape."""
    rng, model = random.Random(label), tflite.Model(label)
    quant = tflite.Quant(tflite.f32(rng.uniform(0.004, 0.02)),
                         input_zero(rng, shape))
    x = model.input("input", (1, shape.size, shape.size, shape.inputs), quant)
    make = addition if shape.kind.startswith("add") else single
    return model.serialise(make(model, rng, x, shape))


def selection(full, pattern, most):
    """(name, shape) of what was asked for, in running order."""
    names = []
    for kind, count in SUBSET:
        some = shapes(kind) if full else subset(kind, count)
        names += [(name(shape, number), shape)
                  for number, shape in enumerate(some)]
    return [pair for pair in names if macs(pair[1]) <= most and
            fnmatch.fnmatchcase(pair[0], pattern)]


def write(outdir, chosen):
    """Networks and the two lists. Returns how many were left out."""
    os.makedirs(outdir, exist_ok=True)
    with open(os.path.join(outdir, "LIST"), "w") as done, \
            open(os.path.join(outdir, "LEFT-OUT"), "w") as left:
        for label, shape in chosen:
            reason = impossible(shape)
            if reason:
                left.write("%s\t%s\n" % (label, reason))
                continue
            with open(os.path.join(outdir, label + ".tflite"), "wb") as file:
                file.write(generate(shape, label))
            done.write(label + "\n")
    return sum(1 for _, shape in chosen if impossible(shape))


def main():
    parser = argparse.ArgumentParser(
        description="Write networks of one operation, to compare NPU and CPU.")
    parser.add_argument("--full", action="store_true",
                        help="all shapes, not only the subset")
    parser.add_argument("--only", default="*", metavar="GLOB",
                        help="the names that match")
    parser.add_argument("--macs", type=int, default=sys.maxsize, metavar="N",
                        help="those of at most N multiplications")
    parser.add_argument("--list", action="store_true",
                        help="only print names and multiplications")
    parser.add_argument("outdir", nargs="?")
    args = parser.parse_args()
    if not args.list and not args.outdir:
        parser.error("OUTDIR is missing")
    chosen = selection(args.full, args.only, args.macs)
    if args.list:
        for label, shape in chosen:
            print("%-36s %12d %s" % (label, macs(shape),
                                     impossible(shape) or ""))
        return
    try:
        left = write(args.outdir, chosen)
    except OSError as error:
        sys.exit("grid.py: %s" % error)
    print("grid.py: %d networks in %s, %d left out" %
          (len(chosen) - left, args.outdir, left))


if __name__ == "__main__":
    main()
