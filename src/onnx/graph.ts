import { formatShape, type Dim, type Shape } from './dims.ts'

export type DataType =
  'float32' | 'float64' | 'float16' | 'bfloat16' | 'int64' | 'int32' | 'int8' | 'uint8' | 'bool'
/** float16 and bfloat16 are held as the bits of their elements. */
export type TensorData =
  Float32Array | Float64Array | Uint16Array | BigInt64Array | Int32Array | Int8Array | Uint8Array

/** An operator's attribute. Ints and floats are distinct in ONNX. */
export type Attribute =
  | { kind: 'int'; value: number }
  | { kind: 'float'; value: number }
  | { kind: 'ints'; value: readonly number[] }
  | { kind: 'string'; value: string }

/** A tensor of a graph, known by type and shape before anything runs. Made by a graph or by an operator, never changed. */
export class Value {
  readonly graph: Graph
  readonly name: string
  readonly type: DataType
  readonly shape: Shape
  /** The node that computes it; undefined for inputs and constants. */
  readonly producer: Node | undefined
  /** The elements of a constant. */
  readonly data: TensorData | undefined

  constructor(
    graph: Graph,
    name: string,
    type: DataType,
    shape: Shape,
    origin: { producer?: Node; data?: TensorData } = {},
  ) {
    this.graph = graph
    this.name = name
    this.type = type
    this.shape = shape
    this.producer = origin.producer
    this.data = origin.data
  }

  toString(): string {
    return `${this.name}: ${this.type} ${formatShape(this.shape)}`
  }
}

/** One operator call. An input that is left out is undefined. */
export interface Node {
  readonly op: string
  readonly inputs: readonly (Value | undefined)[]
  readonly attributes: Readonly<Record<string, Attribute>>
  readonly outputs: Value[]
}

/** A mistake in how a graph is put together: the message names the operator and the shapes. Never a user's mistake. */
export class GraphError extends Error {
  constructor(op: string, problem: string, inputs: readonly (Value | undefined)[]) {
    const described = inputs.map((value) => value?.toString() ?? 'nothing').join(', ')
    super(`${op}: ${problem} (inputs: ${described})`)
    this.name = 'GraphError'
  }
}

/** A graph while it grows: nodes in the order of their making, which is an order in which they can run. */
export class Graph {
  readonly inputs: Value[] = []
  readonly nodes: Node[] = []
  readonly #constants = new Map<string, Value>()
  #count = 0

  input(name: string, type: DataType, shape: Shape): Value {
    if (this.inputs.some((input) => input.name === name))
      throw new GraphError('Input', `there is already an input ${name}`, [])
    const value = new Value(this, name, type, [...shape])
    this.inputs.push(value)
    return value
  }

  /** A constant tensor. Small equal ones are kept once. */
  constant(type: DataType, shape: readonly number[], data: TensorData): Value {
    const size = shape.reduce((a, b) => a * b, 1)
    if (data.length !== size)
      throw new GraphError('Constant', `${data.length} elements for shape ${formatShape(shape)}`, [])
    const key = data.length <= 16 ? `${type} ${formatShape(shape)} ${data.join()}` : undefined
    const known = key === undefined ? undefined : this.#constants.get(key)
    if (known) return known
    const value = new Value(this, `c${this.#count++}`, type, [...shape], { data })
    if (key !== undefined) this.#constants.set(key, value)
    return value
  }

  /** Adds an operator call whose outputs have the given types and shapes. The functions of ops.ts infer those. */
  node(
    op: string,
    inputs: readonly (Value | undefined)[],
    attributes: Readonly<Record<string, Attribute>>,
    outputs: readonly { type: DataType; shape: readonly Dim[] }[],
  ): Value[] {
    const foreign = inputs.find((value) => value && value.graph !== this)
    if (foreign) throw new GraphError(op, `${foreign.name} is of another graph`, inputs)
    const node: Node = { op, inputs, attributes, outputs: [] }
    for (const { type, shape } of outputs)
      node.outputs.push(new Value(this, `${op}${this.#count++}`, type, shape, { producer: node }))
    this.nodes.push(node)
    return node.outputs
  }
}
