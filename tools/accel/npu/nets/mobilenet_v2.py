#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""usage: mobilenet_v2.py FILE

Writes a network of MobileNet v2's shape (width 1.0, 224 x 224 x 3 in, 1000
outputs) with random weights: it classifies nothing, but it costs what the real
one costs, 300 million multiplications in 63 operations.
"""

import random
import sys

import tflite

# Expansion, channels, repetitions, stride of the first: the paper's table 2.
BLOCKS = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2),
          (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
ZERO = 128          # of every tensor: padding is then plain zeroes
STEP = 1 / 64       # scale of every activation
SIGMA = 255 / 12 ** 0.5


class Net(tflite.Model):
    """Convolutions whose scales keep activations as large as they are."""

    def __init__(self):
        super().__init__("MobileNet v2 1.0 224, random weights")
        self.rng = random.Random(2)
        self.count = 0

    def layer(self, make, x, shape, fan_in, channels, stride=1, pad=tflite.SAME):
        """One convolution; `fan_in` products make one output."""
        self.count += 1
        size = shape[0] * shape[1] * shape[2] * shape[3]
        weights = tflite.Quant(tflite.f32(1 / (SIGMA * fan_in ** 0.5)), ZERO)
        return make("conv%d" % self.count, x, shape, self.rng.randbytes(size),
                    weights, [0] * channels, tflite.Quant(STEP, ZERO), stride, pad)

    def pointwise(self, x, inputs, outputs):
        return self.layer(self.conv, x, (outputs, 1, 1, inputs), inputs, outputs)

    def block(self, x, inputs, outputs, expansion, stride):
        """An inverted residual."""
        wide = inputs * expansion
        y = x if expansion == 1 else self.pointwise(x, inputs, wide)
        y = self.layer(self.depthwise, y, (1, 3, 3, wide), 9, wide, stride)
        y = self.pointwise(y, wide, outputs)
        if stride == 1 and inputs == outputs:
            y = self.add("add%d" % self.count, y, x, tflite.Quant(2 * STEP, ZERO))
        return y


def build():
    """The whole network, as the bytes of a .tflite file."""
    net = Net()
    x = net.input("input", (1, 224, 224, 3), tflite.Quant(STEP, ZERO))
    x = net.layer(net.conv, x, (32, 3, 3, 3), 27, 32, 2)
    channels = 32
    for expansion, outputs, repetitions, stride in BLOCKS:
        for i in range(repetitions):
            x = net.block(x, channels, outputs, expansion, 1 if i else stride)
            channels = outputs
    x = net.pointwise(x, channels, 1280)
    x = net.layer(net.depthwise, x, (1, 7, 7, 1280), 49, 1280, 1, tflite.VALID)
    x = net.pointwise(x, 1280, 1000)
    return net.serialise(x)


def main():
    if len(sys.argv) != 2 or sys.argv[1].startswith("-"):
        sys.exit(__doc__)
    with open(sys.argv[1], "wb") as out:
        out.write(build())


if __name__ == "__main__":
    main()
