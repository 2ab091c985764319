/**
 * What the tests of the pure core share: two keys, a snapshot without rows, one with a row of each key, and short
 * assertions.
 */
import { assert } from "@effect/vitest"
import { Result } from "effect"
import type { EntryRow } from "../../src/schema/EntryRow.ts"
import * as Snapshot from "../../src/schema/Snapshot.ts"
import * as SnapshotSlot from "../../src/schema/SnapshotSlot.ts"
import { deepFreeze } from "./DeepFreeze.ts"
import { whole } from "./TestAnswers.ts"

/** The one value that does not decode. */
export const bad = "bad"

export const keyFor = (defaultValue: unknown, onDecode = () => {}): SnapshotSlot.SnapshotKey => ({
  defaultValue,
  decode: (json) => {
    onDecode()
    return json === bad ? Result.fail("it is bad") : Result.succeed(json)
  }
})

/** A row is another one if its revision, its value or its author differ. */
export const row = (revision: number, value: unknown = `v${revision}`, updatedBy = ""): EntryRow => ({
  value,
  revision,
  updatedAt: revision,
  updatedBy,
  fingerprint: fingerprintOf(JSON.stringify([revision, value, updatedBy]))
})

const known: Array<string> = []
const fingerprintOf = (text: string) => {
  if (!known.includes(text)) known.push(text)
  return BigInt(known.indexOf(text))
}

/** The slots of the two keys. */
export const [a, b] = [0, 1] as const

/** No state may ever be changed: each is frozen before it is used. */
export const frozen = (outcome: Snapshot.Outcome): Snapshot.State => deepFreeze(outcome.state)

/** An outcome that publishes and reports nothing. */
export const quiet = { published: [], rejected: [], inconclusive: false, regressed: false }

export const assertOutcome = (outcome: Snapshot.Outcome, expected: Partial<Omit<Snapshot.Outcome, "state">>) => {
  const { state: _, ...rest } = outcome
  assert.deepStrictEqual(rest, { ...quiet, ...expected })
}

/** The value in force of a slot, and its revision. */
export const shows = (state: Snapshot.State, slot: number) => [
  state.slots[slot]!.value,
  SnapshotSlot.revision(state.slots[slot]!)
]

const key = keyFor("default")

export const empty = deepFreeze(Snapshot.make([key, key]))
export const loaded = frozen(whole(empty, { [a]: row(5), [b]: row(6) }))
/** What a slot without a row shows. */
export const absent = ["default", 0]
