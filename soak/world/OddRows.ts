/**
 * Rows of every odd kind, none of which decodes: other types, documents a thousand levels deep, numbers that no double
 * holds, values of megabytes, names that nothing declares. What they hold must not appear anywhere.
 */
import { Effect } from "effect"
import * as Keys from "../Keys.ts"
import { oneOf } from "../workload/Client.ts"
import type { Database } from "./Database.ts"
import { upsert } from "./OtherServices.ts"

const text = (value: string) => `to_jsonb(${value})`

/** SQL of type `jsonb`. */
const odd = [
  `'{"tenant": "${Keys.badMark}", "stamp": {"${Keys.badMark}": "${Keys.badMark}"}}'`,
  "'null'",
  "'[]'",
  "'1e400'",
  "'9007199254740993'",
  text(`'${Keys.badMark}'::text`),
  text("repeat('x', 2000000)"),
  "(repeat('[', 3000) || repeat(']', 3000))::jsonb",
  `jsonb_build_object('tenant', 1e400, 'stamp', '${Keys.badMark}')`,
  `jsonb_build_object('__proto__', '${Keys.badMark}')`
]

/** Of a declared key, so that it is rejected; or under a name of its own, so that it is never fetched. */
export const write = (database: Database) =>
  Effect.gen(function* () {
    const value = yield* oneOf(odd)
    const { key, namespace } = yield* oneOf([
      Keys.Rough,
      Keys.Rough,
      { namespace: Keys.Rough.namespace, key: "undeclared" },
      { namespace: "strange names", key: "a/b\\c.é'\"\n" }
    ])
    yield* database.run(upsert.replace("$3::jsonb", value), [namespace, key])
  })
