/**
 * As much of protobuf as it takes to read OTLP metrics
 * (https://github.com/open-telemetry/opentelemetry-proto/blob/main/opentelemetry/proto/metrics/v1/metrics.proto).
 */

type Type = "string" | "double" | "varint" | "fixed64" | Message

/** Field number: name, type, and whether it is repeated (not packed: that is how they are sent). */
type Message = { readonly [field: number]: readonly [name: string, type: Type, repeated?: "repeated"] }

const attribute: Message = { 1: ["key", "string"], 2: ["value", { 1: ["stringValue", "string"] }] }

const numberPoint: Message = {
  4: ["asDouble", "double"],
  6: ["asInt", "fixed64"],
  7: ["attributes", attribute, "repeated"]
}

const histogramPoint: Message = {
  4: ["count", "fixed64"],
  5: ["sum", "double"],
  6: ["bucketCounts", "fixed64", "repeated"],
  7: ["explicitBounds", "double", "repeated"],
  9: ["attributes", attribute, "repeated"]
}

const metric: Message = {
  1: ["name", "string"],
  2: ["description", "string"],
  5: ["gauge", { 1: ["dataPoints", numberPoint, "repeated"] }],
  7: [
    "sum",
    {
      1: ["dataPoints", numberPoint, "repeated"],
      2: ["aggregationTemporality", "varint"],
      3: ["isMonotonic", "varint"]
    }
  ],
  9: ["histogram", { 1: ["dataPoints", histogramPoint, "repeated"], 2: ["aggregationTemporality", "varint"] }]
}

const metricsData: Message = {
  1: ["resourceMetrics", { 2: ["scopeMetrics", { 2: ["metrics", metric, "repeated"] }, "repeated"] }, "repeated"]
}

export const decodeMetrics = (body: Buffer): any => decode(metricsData, body)

const decode = (message: Message, bytes: Buffer): Record<string, unknown> => {
  const decoded: Record<string, any> = {}
  let at = 0
  const varint = () => {
    let value = 0n
    for (let shift = 0n; ; shift += 7n) {
      const byte = bytes[at++]!
      value |= BigInt(byte & 0x7f) << shift
      if (byte < 0x80) return Number(value)
    }
  }
  while (at < bytes.length) {
    const tag = varint()
    const wireType = tag & 7
    const length = wireType === 2 ? varint() : wireType === 1 ? 8 : wireType === 5 ? 4 : 0
    const start = at
    const number = wireType === 0 ? varint() : 0
    if (wireType !== 0) at += length
    const field = message[tag >> 3]
    if (field === undefined) continue
    const [name, type, repeated] = field
    const value = read(type, bytes.subarray(start, at), number)
    if (repeated !== undefined) decoded[name] = [...(decoded[name] ?? []), value]
    else decoded[name] = value
  }
  return decoded
}

const read = (type: Type, bytes: Buffer, varint: number): unknown => {
  switch (type) {
    case "varint":
      return varint
    case "string":
      return bytes.toString("utf8")
    case "double":
      return bytes.readDoubleLE()
    case "fixed64":
      return Number(bytes.readBigUInt64LE())
    default:
      return decode(type, bytes)
  }
}
