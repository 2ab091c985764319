import { assert } from "@effect/vitest"
import { Effect } from "effect"
import { Config, ConfigKey } from "effect-systemplane"
import { Burst, Feature, Limit } from "./keys.ts"

/** Writes three values at once, and checks that their entries are returned in the order given. */
export const setAllInOrder = Effect.gen(function* () {
  const entries = yield* Config.setAll(
    [ConfigKey.value(Limit, 7), ConfigKey.value(Burst, 8), ConfigKey.value(Feature, { enabled: true, percent: 5 })],
    { actor: "ada" }
  )
  assert.deepStrictEqual(
    entries.map(({ updatedBy, value }) => [value, updatedBy]),
    [
      [7, "ada"],
      [8, "ada"],
      [{ enabled: true, percent: 5 }, "ada"]
    ]
  )
})
