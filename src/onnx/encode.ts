import type { GraphFunction } from './extract.ts'
import type { Attribute, Graph, Node, Value } from './graph.ts'
import { ELEMENT_TYPES } from './ops.ts'
import { ProtobufWriter } from './protobuf.ts'

/** IR 10 goes with opset 21 (onnx/docs/Versioning.md). */
const IR_VERSION = 10
export const OPSET = 21
export const MICROSOFT_OPS = new Set(['MatMulIntegerToFloat', 'FusedMatMul', 'QuickGelu', 'RotaryEmbedding'])

/** Constants of at least this many bytes lie outside the model's bytes: a protobuf may not exceed 2 GiB. */
const EXTERNAL_BYTES = 1 << 16

/** A model's bytes and the large constants beside them, by the location that the bytes name. */
export interface EncodedModel {
  bytes: Uint8Array
  external: { path: string; data: Uint8Array }[]
}

/** ONNX's protobuf (onnx/onnx.proto3); the field numbers are that file's. */
export function encode({ graph, inputs, outputs }: GraphFunction): EncodedModel {
  const names = new Map<Value, string>()
  const renamed = new Map<string, Value>()
  for (const [name, value] of outputs) {
    // An output is the value itself under another name, since a copy would cost a pass over fresh memory. Only what has
    // a name already, an input or an output twice, needs one.
    if (value.producer && !names.has(value)) names.set(value, name)
    else renamed.set(name, value)
  }
  const nameOf = (value: Value): string => names.get(value) ?? value.name
  const external: EncodedModel['external'] = []
  const model = new ProtobufWriter()
  model.int(1, IR_VERSION)
  model.string(2, 'temper')
  model.message(7, (message) => {
    for (const node of graph.nodes) message.message(1, (m) => writeNode(m, node, nameOf))
    for (const [name, value] of renamed)
      message.message(1, (m) => {
        m.string(1, nameOf(value))
        m.string(2, name)
        m.string(4, 'Identity')
      })
    message.string(2, 'graph')
    for (const constant of constantsOf(graph, outputs)) {
      const data = writeConstant(message, constant)
      if (data) external.push({ path: constant.name, data })
    }
    for (const [name, value] of inputs) message.message(11, (m) => writeValueInfo(m, name, value))
    for (const [name, value] of outputs) message.message(12, (m) => writeValueInfo(m, name, value))
  })
  for (const [domain, version] of [
    ['', OPSET],
    ['com.microsoft', 1],
  ] as const)
    model.message(8, (m) => {
      m.string(1, domain)
      m.int(2, version)
    })
  return { bytes: model.finish(), external }
}

function constantsOf(graph: Graph, outputs: ReadonlyMap<string, Value>): Set<Value> {
  const constants = new Set<Value>()
  const look = (value: Value | undefined) => {
    if (value?.data) constants.add(value)
  }
  for (const node of graph.nodes) node.inputs.forEach(look)
  for (const value of outputs.values()) look(value)
  return constants
}

function writeNode(message: ProtobufWriter, node: Node, nameOf: (value: Value) => string): void {
  for (const input of node.inputs) message.string(1, input ? nameOf(input) : '')
  for (const output of node.outputs) message.string(2, nameOf(output))
  message.string(3, (node.outputs[0] as Value).name)
  message.string(4, node.op)
  for (const [name, attribute] of Object.entries(node.attributes))
    message.message(5, (m) => writeAttribute(m, name, attribute))
  if (MICROSOFT_OPS.has(node.op)) message.string(7, 'com.microsoft')
}

function writeAttribute(message: ProtobufWriter, name: string, attribute: Attribute): void {
  message.string(1, name)
  switch (attribute.kind) {
    case 'float':
      message.float(2, attribute.value)
      message.int(20, 1)
      break
    case 'int':
      message.int(3, attribute.value)
      message.int(20, 2)
      break
    case 'string':
      message.string(4, attribute.value)
      message.int(20, 3)
      break
    case 'ints':
      for (const value of attribute.value) message.int(8, value)
      message.int(20, 7)
      break
  }
}

/** Writes an initializer; returns its bytes where they lie outside. */
function writeConstant(graph: ProtobufWriter, { name, type, shape, data }: Value): Uint8Array | undefined {
  if (!data) return undefined
  const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength)
  const outside = bytes.length >= EXTERNAL_BYTES
  graph.message(5, (m) => {
    for (const dim of shape) m.int(1, dim as number)
    m.int(2, ELEMENT_TYPES[type])
    m.string(8, name)
    if (!outside) {
      m.bytes(9, bytes)
      return
    }
    for (const [key, value] of [
      ['location', name],
      ['offset', '0'],
      ['length', String(bytes.length)],
    ] as const)
      m.message(13, (entry) => {
        entry.string(1, key)
        entry.string(2, value)
      })
    m.int(14, 1)
  })
  return outside ? bytes : undefined
}

function writeValueInfo(message: ProtobufWriter, name: string, value: Value): void {
  message.string(1, name)
  message.message(2, (type) =>
    type.message(1, (tensor) => {
      tensor.int(1, ELEMENT_TYPES[value.type])
      tensor.message(2, (shape) => {
        for (const dim of value.shape)
          shape.message(1, (m) => {
            if (typeof dim === 'number') m.int(1, dim)
            else m.string(2, dim)
          })
      })
    }),
  )
}
