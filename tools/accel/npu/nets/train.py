#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""Train the digit classifier that `make run` shows, and measure it.

    train.py SOURCE              train and write digits.tflite
    train.py --evaluate SOURCE   measure the committed digits.tflite

SOURCE is Debian's python3-sklearn .deb or the digits.csv.gz inside it. Needs
python3-numpy and python3-flatbuffers. Numbers are seeded: one machine gives
one result, another linear algebra library may round differently.

Every layer of the network is a convolution, because that is what the NPU's
delegate takes. It is trained in floating point and then once more with weights
and activations rounded as the NPU holds them. Choices made for the hardware:

 - Every activation is a ReLU whose zero point is 0. The delegate pads a
   convolution rightly for that zero point and for few others.
 - Weights are symmetrical around 128, as the NPU's signed bytes are.
 - The NPU scales its sums by a 15 bit factor, which the delegate makes by
   rounding the exact one up. Weight scales are moved by a fraction of a
   thousandth to where that loses nothing, so CPU and NPU use equal factors.
 - No layer is depthwise: TensorFlow Lite rounds those twice, the NPU once, so
   a few of their outputs in a thousand would differ by one.
"""

import argparse
import collections
import os
import sys

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

import digits
import tflite

MODEL = os.path.join(os.path.dirname(os.path.abspath(__file__)),
                     "digits.tflite")
SEED = 1797
BATCH = 50
FLOAT_EPOCHS, FLOAT_RATE = 100, 3e-3
QUANT_EPOCHS, QUANT_RATE = 40, 5e-4
INPUT_SCALE = np.float32(1 / 255)
WEIGHT_ZERO = 128

Spec = collections.namedtuple(
    "Spec", "name kernel stride same inputs outputs relu")
LAYERS = (
    Spec("strokes", 3, 1, True, 1, 16, True),       # 16 x 16 x 16
    Spec("curves", 3, 2, True, 16, 32, True),       # 8 x 8 x 32
    Spec("parts", 3, 2, True, 32, 64, True),        # 4 x 4 x 64
    Spec("digit", 4, 1, False, 64, 10, False),      # 1 x 1 x 10
)


def windows(x, kernel, stride, same, zero=0):
    """Every window of x as (n, rows, columns, kernel, kernel, channels).

    Also returns the rows of padding (before, after): as TensorFlow Lite's
    SAME splits them, none for VALID. All images and kernels are square.
    """
    size, pad = x.shape[1], (0, 0)
    if same:
        total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
        pad = (total // 2, total - total // 2)
    x = np.pad(x, ((0, 0), pad, pad, (0, 0)), constant_values=zero)
    view = sliding_window_view(x, (kernel, kernel), axis=(1, 2))
    return view[:, ::stride, ::stride].transpose(0, 1, 2, 4, 5, 3), pad


def multiply(columns, weights):
    """The sums of one convolution: (n, rows, columns, outputs)."""
    flat = columns.reshape(*columns.shape[:3], -1)
    return flat @ weights.reshape(len(weights), -1).T


class Layer:
    """One convolution with its gradients and the Adam state of its weights.

    While `step` (the size of one unit of the quantised output) is None the
    layer computes in floating point; later its weights and outputs are rounded
    to what 8 bits hold, and gradients pass through the rounding.
    """

    def __init__(self, spec, rng):
        self.spec = spec
        shape = spec.outputs, spec.kernel, spec.kernel, spec.inputs
        weights = rng.standard_normal(shape)
        weights *= np.sqrt(2 / np.prod(shape[1:]))
        self.values = [weights.astype(np.float32),
                       np.zeros(spec.outputs, np.float32)]
        self.moments = [(np.zeros_like(v), np.zeros_like(v))
                        for v in self.values]
        self.step = None
        self.zero = 0

    def weight_scale(self):
        return np.abs(self.values[0]).max() / 127

    def set_range(self, low, high):
        self.step = np.float32((high - low) / 255)
        self.zero = int(round(-low / self.step))

    def forward(self, x):
        spec, self.size = self.spec, x.shape[1]
        self.columns, self.pad = windows(x, spec.kernel, spec.stride, spec.same)
        self.used = self.values[0]
        low, high = (0 if spec.relu else -np.inf), np.inf
        if self.step is not None:
            scale = self.weight_scale()
            self.used = np.round(self.used / scale) * scale
            low, high = -self.zero * self.step, (255 - self.zero) * self.step
        y = multiply(self.columns, self.used) + self.values[1]
        self.passed = (y > low) & (y < high)
        y = np.clip(y, low, high)
        if self.step is not None:
            y = np.round(y / self.step) * self.step
        return y.astype(np.float32)

    def backward(self, gradient):
        """Keep the gradients of the weights, return that of the input."""
        n, rows, cols, k, _, c = self.columns.shape
        flat = (gradient * self.passed).reshape(-1, self.spec.outputs)
        dw = flat.T @ self.columns.reshape(len(flat), -1)
        self.gradients = [dw.reshape(self.used.shape), flat.sum(0)]
        columns = flat @ self.used.reshape(self.spec.outputs, -1)
        columns = columns.reshape(n, rows, cols, k, k, c)
        step, size = self.spec.stride, self.size + sum(self.pad)
        dx = np.zeros((n, size, size, c), np.float32)
        for y in range(k):
            for x in range(k):
                dx[:, y:y + step * rows:step,
                   x:x + step * cols:step] += columns[:, :, :, y, x]
        inside = slice(self.pad[0], self.pad[0] + self.size)
        return dx[:, inside, inside]

    def adam(self, rate, count):
        for value, gradient, (mean, square) in zip(
                self.values, self.gradients, self.moments):
            mean += 0.1 * (gradient - mean)
            square += 0.001 * (gradient ** 2 - square)
            value -= rate * (mean / (1 - 0.9 ** count)) / (
                np.sqrt(square / (1 - 0.999 ** count)) + 1e-8)


def forward(layers, x):
    """The ten logits of each image."""
    for layer in layers:
        x = layer.forward(x)
    return x.reshape(len(x), -1)


def distort(images, rng):
    """Each image turned, sized and moved a little, as hands differ."""
    n, size = images.shape[:2]
    angle, zoom = rng.uniform(-0.2, 0.2, n), rng.uniform(0.88, 1.14, n)
    turn = np.stack([np.cos(angle), -np.sin(angle),
                     np.sin(angle), np.cos(angle)], 1).reshape(n, 2, 2)
    centre = (size - 1) / 2
    at = np.stack(np.mgrid[:size, :size], -1).reshape(-1, 2) - centre
    at = at @ (turn * zoom[:, None, None]) + centre
    at = np.clip(at + rng.uniform(-1.2, 1.2, (n, 1, 2)), 0, size - 1.001)
    low = at.astype(int)
    far = (at - low).astype(np.float32)
    image, out = np.arange(n)[:, None], 0
    for y in (0, 1):
        for x in (0, 1):
            share = abs(1 - y - far[..., 0]) * abs(1 - x - far[..., 1])
            out = out + share * images[image, low[..., 0] + y,
                                       low[..., 1] + x, 0]
    return out.reshape(images.shape).astype(np.float32)


def train(layers, images, labels, epochs, rate, rng):
    """Adam on cross entropy, the rate falling to nothing along a cosine."""
    count, total = 0, epochs * (len(images) // BATCH)
    for epoch in range(epochs):
        order, loss = rng.permutation(len(images)), 0
        for first in range(0, len(order) - BATCH + 1, BATCH):
            batch = order[first:first + BATCH]
            logits = forward(layers, distort(images[batch], rng))
            logits = logits - logits.max(1, keepdims=True)
            share = np.exp(logits)
            share /= share.sum(1, keepdims=True)
            hit = np.arange(BATCH), labels[batch]
            loss -= np.log(share[hit] + 1e-9).mean()
            share[hit] -= 1
            gradient = share.reshape(BATCH, 1, 1, -1) / BATCH
            count += 1
            now = rate * (1 + np.cos(np.pi * count / total)) / 2
            for layer in reversed(layers):
                gradient = layer.backward(gradient)
                layer.adam(now, count)
        if epoch % 10 == 9:
            print("epoch %3d of %d: loss %.4f" %
                  (epoch + 1, epochs, loss * BATCH / len(images)), flush=True)


def calibrate(layers, images):
    """Fix what each layer's 8 bit output spans."""
    x = images
    for layer in layers:
        x = layer.forward(x)
        if layer.spec.relu:
            layer.set_range(0, np.percentile(x, 99.98))
        else:
            layer.set_range(1.05 * x.min(), 1.05 * x.max())


def exact_scale(inputs, weights, outputs):
    """The next weight scale whose factor the NPU's 15 bits hold.

    The delegate keeps 14 bits of the factor's mantissa and adds one unit in the
    last place. A factor just below such a value therefore becomes that value.
    Odd values are taken: sums times them never end on a half, where CPU and NPU
    round differently.
    """
    weights = np.float32(weights)
    while True:
        factor = inputs * weights / outputs
        bits = int(factor.view(np.uint32))
        if bits & 0x3ff == 0x1ff:
            return weights
        weights = np.nextafter(weights, np.float32(np.inf))


def build(layers):
    """The trained layers as a quantised model, and the scales in it."""
    model = tflite.Model("npu digit classifier")
    scale = INPUT_SCALE
    x = model.input("image", (1, digits.SIZE, digits.SIZE, 1),
                    tflite.Quant(float(scale), 0))
    for layer in layers:
        spec, (weights, bias) = layer.spec, layer.values
        wscale = exact_scale(scale, layer.weight_scale(), layer.step)
        weights = np.round(weights / wscale) + WEIGHT_ZERO
        bias = np.round(bias / (scale * wscale)).astype(int)
        x = model.conv(
            spec.name, x, weights.shape, weights.astype(np.uint8).tobytes(),
            tflite.Quant(float(wscale), WEIGHT_ZERO), bias.tolist(),
            tflite.Quant(float(layer.step), layer.zero), spec.stride,
            tflite.SAME if spec.same else tflite.VALID, spec.relu)
        scale = layer.step
    return model.serialise(x)


def infer(model, images):
    """Run a chain of convolutions in whole numbers, from uint8 to uint8."""
    x = images
    for _, (source, w, b), (target,), options in model.operators:
        zero, out = model.tensors[source][4].zero, model.tensors[target][4]
        _, shape, _, buffer, wquant = model.tensors[w]
        weights = np.frombuffer(model.buffers[buffer], np.uint8)
        weights = weights.astype(np.int32).reshape(shape) - wquant.zero
        bias = np.frombuffer(model.buffers[model.tensors[b][3]], np.int32)
        columns, _ = windows(x, shape[1], options["stride"],
                             options["padding"] == tflite.SAME, zero)
        sums = bias + multiply(columns.astype(np.int32) - zero, weights)
        factor = model.tensors[b][4].scale / out.scale
        x = np.floor(sums * factor + 0.5) + out.zero
        low = out.zero if options["relu"] else 0
        x = np.clip(x, low, 255).astype(np.uint8)
    return x.reshape(len(x), -1)


def arrays(packed):
    labels = np.array([label for label, _ in packed])
    pixels = np.frombuffer(b"".join(p for _, p in packed), np.uint8)
    return pixels.reshape(-1, digits.SIZE, digits.SIZE, 1), labels


def report(what, logits, labels):
    right = int((logits.argmax(1) == labels).sum())
    print("%s: %d of %d test digits correct (%.2f%%)" %
          (what, right, len(labels), 100 * right / len(labels)))


def make_model(images, labels, test, answers):
    rng = np.random.default_rng(SEED)
    layers = [Layer(spec, rng) for spec in LAYERS]
    images = images * INPUT_SCALE
    train(layers, images, labels, FLOAT_EPOCHS, FLOAT_RATE, rng)
    report("float", forward(layers, test * INPUT_SCALE), answers)
    calibrate(layers, images)
    train(layers, images, labels, QUANT_EPOCHS, QUANT_RATE, rng)
    return build(layers)


def main():
    parser = argparse.ArgumentParser(
        description="Train or measure the digit classifier.")
    parser.add_argument("--evaluate", action="store_true",
                        help="only measure the model that is there")
    parser.add_argument("--model", default=MODEL)
    parser.add_argument("source", help="python3-sklearn's .deb, or the "
                        "digits.csv.gz out of it")
    args = parser.parse_args()
    try:
        training, test = digits.split(digits.load(args.source))
        images, answers = arrays(test)
        if not args.evaluate:
            data = make_model(*arrays(training), images, answers)
            with open(args.model, "wb") as file:
                file.write(data)
        with open(args.model, "rb") as file:
            model = tflite.parse(file.read())
    except digits.BAD_SOURCE as error:
        sys.exit("train.py: %s" % error)
    report("uint8", infer(model, images), answers)


if __name__ == "__main__":
    main()
