/** The keys of the soak. Each value names its tenant and the write that it came from. */
import { Schema } from "effect"
import { ConfigKey } from "effect-systemplane"
import { defaultStamp } from "./checks/History.ts"

/** How the stamps end for which a schema throws. */
export const unluckyEnd = "7"

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

/** Code of an application that throws for some values, both when it reads them and when it writes them. */
const moody = Schema.makeFilter<string>((stamp) => {
  if (stamp.endsWith(unluckyEnd)) throw new TypeError("a schema threw")
  return true
})

/** Its schema throws for some stamps. */
export const Moody = ConfigKey.make("limits", "moody", {
  ...options,
  schema: Schema.Struct({ tenant: Schema.String, stamp: Schema.String.check(moody) })
})

/** Only ever written together, in one transaction. */
export const Left = ConfigKey.make("pairs", "left", options)
export const Right = ConfigKey.make("pairs", "right", options)

export const all = [Plain, Rough, Guarded, Moody, Left, Right]

export type SoakKey = (typeof all)[number]

export const nameOf = ({ key, namespace }: SoakKey) => `${namespace}/${key}`

/** Part of every value that does not decode: no reader, error or log line may ever show it. */
export const badMark = "unfit4711"
