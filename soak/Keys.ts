/** The keys of the soak. Each value names its tenant and the write that it came from. */
import { Schema } from "effect"
import { ConfigKey } from "effect-systemplane"
import { defaultStamp } from "./checks/History.ts"

const options = {
  schema: Schema.Struct({ tenant: Schema.String, stamp: Schema.String }),
  defaultValue: { tenant: "", stamp: defaultStamp }
}

/** Written by all clients and foreign writers, in every way. */
export const Plain = ConfigKey.make("limits", "plain", options)
/** Rows of it are also broken, changed in place, and put back. */
export const Rough = ConfigKey.make("limits", "rough", options)
/** Written with a guard, by several writers at once. */
export const Guarded = ConfigKey.make("limits", "guarded", options)

/** Only ever written together, in one transaction. */
export const Left = ConfigKey.make("pairs", "left", options)
export const Right = ConfigKey.make("pairs", "right", options)

export const all = [Plain, Rough, Guarded, Left, Right]

export type SoakKey = (typeof all)[number]

export const nameOf = ({ key, namespace }: SoakKey) => `${namespace}/${key}`

/** Part of every value that does not decode: no reader, error or log line may ever show it. */
export const badMark = "unfit4711"
