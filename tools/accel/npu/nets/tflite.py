# SPDX-License-Identifier: GPL-2.0-only
"""Write TensorFlow Lite models, uint8, one scale per tensor; read them back.

Only what the NPU's delegate takes is here: CONV_2D, DEPTHWISE_CONV_2D and ADD.
The tables are built with Debian's python3-flatbuffers; the numbers below are
the field slots and enumerators of TensorFlow Lite's schema, version 3.
"""

import collections
import struct

import flatbuffers

# A real value is scale * (byte - zero).
Quant = collections.namedtuple("Quant", "scale zero")

SCHEMA_VERSION = 3
INT32, UINT8 = 2, 3
ADD, CONV_2D, DEPTHWISE_CONV_2D = 0, 3, 4
CONV_OPTIONS, DEPTHWISE_OPTIONS, ADD_OPTIONS = 1, 2, 11
SAME, VALID = 0, 1
RELU = 1


def f32(value):
    """The nearest single precision number: what a scale becomes in the file."""
    return struct.unpack("<f", struct.pack("<f", value))[0]


def output_size(size, kernel, stride, padding):
    """Rows (or columns) that a convolution makes of `size` rows."""
    if padding == VALID:
        size -= kernel - 1
    return -(-size // stride)


class Model:
    """A graph under construction. Tensors are named by their index."""

    def __init__(self, description):
        self.description = description
        self.tensors = []       # (name, shape, type, buffer, Quant)
        self.buffers = [b""]    # buffer 0 is by convention the empty one
        self.operators = []     # (opcode, inputs, outputs, options by name)
        self.inputs = []

    def _tensor(self, name, shape, kind, quant, data=None):
        buffer = 0
        if data is not None:
            buffer = len(self.buffers)
            self.buffers.append(bytes(data))
        self.tensors.append((name, tuple(shape), kind, buffer, quant))
        return len(self.tensors) - 1

    def input(self, name, shape, quant):
        self.inputs.append(self._tensor(name, shape, UINT8, quant))
        return self.inputs[-1]

    def _weighted(self, name, x, shape, data, wquant, bias, quant, channels,
                  stride, padding):
        """The three tensors every convolution makes: weights, bias, output."""
        _, height, width, _ = self.tensors[x][1]
        weights = self._tensor(name + "/weights", shape, UINT8, wquant, data)
        bquant = Quant(f32(self.tensors[x][4].scale * wquant.scale), 0)
        bias = self._tensor(name + "/bias", (channels,), INT32, bquant,
                            struct.pack("<%di" % channels, *bias))
        out = (1, output_size(height, shape[1], stride, padding),
               output_size(width, shape[2], stride, padding), channels)
        return weights, bias, self._tensor(name, out, UINT8, quant)

    def conv(self, name, x, shape, data, wquant, bias, quant, stride=1,
             padding=SAME, relu=False):
        """CONV_2D; `shape` is (outputs, height, width, inputs)."""
        w, b, y = self._weighted(name, x, shape, data, wquant, bias, quant,
                                 shape[0], stride, padding)
        self.operators.append((CONV_2D, (x, w, b), (y,), {
            "padding": padding, "stride": stride, "relu": int(relu)}))
        return y

    def depthwise(self, name, x, shape, data, wquant, bias, quant, stride=1,
                  padding=SAME, relu=False):
        """DEPTHWISE_CONV_2D; `shape` is (1, height, width, channels)."""
        w, b, y = self._weighted(name, x, shape, data, wquant, bias, quant,
                                 shape[3], stride, padding)
        self.operators.append((DEPTHWISE_CONV_2D, (x, w, b), (y,), {
            "padding": padding, "stride": stride, "relu": int(relu)}))
        return y

    def add(self, name, x, other, quant):
        """ADD of two tensors of one shape."""
        y = self._tensor(name, self.tensors[x][1], UINT8, quant)
        self.operators.append((ADD, (x, other), (y,), {"relu": 0}))
        return y

    def serialise(self, *outputs):
        """The bytes of the .tflite file."""
        return _Writer().model(self, outputs)


class _Writer:
    """Turns a Model into flatbuffer tables, children first."""

    def __init__(self):
        self.b = flatbuffers.Builder(1 << 16)

    def _table(self, *fields):
        """A table of (kind, value) fields in slot order; None is absent."""
        self.b.StartObject(len(fields))
        for slot, field in enumerate(fields):
            if field is None:
                continue
            kind, value = field
            if kind == "Offset":
                self.b.PrependUOffsetTRelativeSlot(slot, value, 0)
            else:
                getattr(self.b, "Prepend%sSlot" % kind)(slot, value, 0)
        return self.b.EndObject()

    def _vector(self, kind, size, values):
        self.b.StartVector(size, len(values), size)
        for value in reversed(values):
            getattr(self.b, "Prepend" + kind)(value)
        return ("Offset", self.b.EndVector())

    def _offsets(self, values):
        return self._vector("UOffsetTRelative", 4, values)

    def _text(self, text):
        return ("Offset", self.b.CreateString(text))

    def _buffer(self, data):
        """TensorFlow Lite wants constant data aligned to 16 bytes."""
        if not data:
            return self._table()
        self.b.StartVector(1, len(data), 16)
        self.b.head -= len(data)
        self.b.Bytes[self.b.head:self.b.head + len(data)] = data
        return self._table(("Offset", self.b.EndVector()))

    def _tensor(self, name, shape, kind, buffer, quant):
        quantization = self._table(
            None, None, self._vector("Float32", 4, [quant.scale]),
            self._vector("Int64", 8, [quant.zero]))
        shape = self._vector("Int32", 4, shape)
        return self._table(shape, ("Int8", kind), ("Uint32", buffer),
                           self._text(name), ("Offset", quantization))

    def _options(self, code, options):
        """The type and table of an operator's options; dilation is 1."""
        relu, one = ("Int8", options["relu"]), ("Int32", 1)
        if code == ADD:
            return ADD_OPTIONS, self._table(relu)
        stride = ("Int32", options["stride"])
        fields = [("Int8", options["padding"]), stride, stride]
        if code == CONV_2D:
            return CONV_OPTIONS, self._table(*fields, relu, one, one)
        return DEPTHWISE_OPTIONS, self._table(*fields, one, relu, one, one)

    def _operator(self, index, code, inputs, outputs, options):
        kind, options = self._options(code, options)
        inputs = self._vector("Int32", 4, inputs)
        outputs = self._vector("Int32", 4, outputs)
        return self._table(("Uint32", index), inputs, outputs, ("Uint8", kind),
                           ("Offset", options))

    def model(self, model, outputs):
        codes = sorted({op[0] for op in model.operators})
        buffers = self._offsets([self._buffer(d) for d in model.buffers])
        tensors = self._offsets([self._tensor(*t) for t in model.tensors])
        operators = self._offsets([self._operator(codes.index(op[0]), *op)
                                   for op in model.operators])
        subgraph = self._table(
            tensors, self._vector("Int32", 4, model.inputs),
            self._vector("Int32", 4, outputs), operators, self._text("main"))
        # Both opcode fields: readers older than the wide one use the first.
        opcodes = self._offsets([
            self._table(("Int8", code), None, ("Int32", 1), ("Int32", code))
            for code in codes])
        root = self._table(
            ("Uint32", SCHEMA_VERSION), opcodes, self._offsets([subgraph]),
            self._text(model.description), buffers)
        self.b.Finish(root, file_identifier=b"TFL3")
        return bytes(self.b.Output())


class _Reader:
    """Walks flatbuffer tables; a table is named by its position."""

    def __init__(self, data):
        self.data = data

    def get(self, layout, at):
        return struct.unpack_from("<" + layout, self.data, at)[0]

    def field(self, table, slot):
        """Where a table keeps a field, or 0 when it is absent."""
        vtable = table - self.get("i", table)
        if 4 + 2 * slot >= self.get("H", vtable):
            return 0
        offset = self.get("H", vtable + 4 + 2 * slot)
        return table + offset if offset else 0

    def number(self, table, slot, layout, default=0):
        at = self.field(table, slot)
        return self.get(layout, at) if at else default

    def child(self, table, slot):
        at = self.field(table, slot)
        return at + self.get("I", at)

    def vector(self, table, slot, layout):
        """A vector's elements; tables and strings ("T") as positions."""
        if not self.field(table, slot):
            return []
        at = self.child(table, slot)
        count = self.get("I", at)
        size = 4 if layout == "T" else struct.calcsize(layout)
        places = range(at + 4, at + 4 + count * size, size)
        if layout == "T":
            return [place + self.get("I", place) for place in places]
        return [self.get(layout, place) for place in places]

    def raw(self, table, slot):
        if not self.field(table, slot):
            return b""
        at = self.child(table, slot)
        return self.data[at + 4:at + 4 + self.get("I", at)]

    def tensor(self, table):
        quant = self.child(table, 4)
        return (self.raw(table, 3).decode(), tuple(self.vector(table, 0, "i")),
                self.number(table, 1, "b"), self.number(table, 2, "I"),
                Quant(self.vector(quant, 2, "f")[0],
                      self.vector(quant, 3, "q")[0]))

    def operator(self, table, codes):
        code, options = codes[self.number(table, 0, "I")], self.child(table, 4)
        if code == ADD:
            named = {"relu": self.number(options, 0, "b")}
        else:
            relu = 4 if code == DEPTHWISE_CONV_2D else 3
            named = {"padding": self.number(options, 0, "b"),
                     "stride": self.number(options, 1, "i"),
                     "relu": self.number(options, relu, "b")}
        return (code, tuple(self.vector(table, 1, "i")),
                tuple(self.vector(table, 2, "i")), named)


def parse(data):
    """A Model again from the bytes of a .tflite file that this module wrote."""
    if data[4:8] != b"TFL3":
        raise ValueError("not a TensorFlow Lite model")
    r, model = _Reader(data), Model("")
    try:
        root = r.get("I", 0)
        graph = r.vector(root, 2, "T")[0]
        codes = [r.number(code, 3, "i") for code in r.vector(root, 1, "T")]
        model.description = r.raw(root, 3).decode()
        model.buffers = [r.raw(table, 0) for table in r.vector(root, 4, "T")]
        model.tensors = [r.tensor(table) for table in r.vector(graph, 0, "T")]
        model.inputs = r.vector(graph, 1, "i")
        model.operators = [r.operator(table, codes)
                           for table in r.vector(graph, 3, "T")]
    except (struct.error, IndexError) as error:
        raise ValueError("damaged TensorFlow Lite model") from error
    return model
