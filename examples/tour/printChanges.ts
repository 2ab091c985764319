/** Prints each change as it becomes visible, with the time since it was written. */
import { Clock, Effect } from "effect"
import { type Change, Config } from "effect-systemplane"
import { Banner, Discount } from "./keys.ts"

export const printChanges = Effect.gen(function* () {
  const config = yield* Config
  const print = (change: Change<unknown>, updatedAt: number | undefined) =>
    Effect.map(Clock.currentTimeMillis, (now) => {
      const took = updatedAt === undefined ? "" : `, visible after ${now - updatedAt} ms`
      const by = change.revision === 0 ? "deleted: the default is in force" : `revision ${change.revision}`
      console.log(
        `  ${change.tenant}: ${change.namespace}/${change.key} ${JSON.stringify(change.previous)} -> ` +
          `${JSON.stringify(change.value)} (${by}${took})`
      )
    })
  for (const key of [Discount, Banner]) {
    yield* config.onChange<any, unknown, never>(key, (change) =>
      Effect.flatMap(config.entry<any>(key), (entry) => print(change, entry.updatedAt?.epochMilliseconds))
    )
  }
})
