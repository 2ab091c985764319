/**
 * Generated histories of one tenant: one that breaks a promise is shrunk before it is shown.
 *
 * The model keeps every version that each row ever had, in order. Whatever the snapshot shows of a key must be one of
 * its versions, and never one before the last one shown, nor before the last one that this process read, wrote or
 * deleted. Once everything was read, no transaction is ever seen in part.
 */
import { assert, describe, it } from "@effect/vitest"
import { Result, Schema } from "effect"
import type { EntryRow } from "../../src/schema/EntryRow.ts"
import * as Snapshot from "../../src/schema/Snapshot.ts"
import type * as SnapshotSlot from "../../src/schema/SnapshotSlot.ts"
import { deepFreeze } from "../support/DeepFreeze.ts"

const slots = 2

const Step = Schema.Struct({
  what: Schema.Literals([
    // By strangers.
    "write",
    "write nonsense",
    "sign",
    "write in place",
    "erase",
    "write together",
    "erase together",
    // By us: they begin here, and are carried on by "advance".
    "read everything",
    "read one",
    "own write",
    "own transaction",
    "own deletion",
    // By us, and nothing can be read after the answer for a while.
    "own write, alone",
    "own deletion, alone",
    // Some of them twice, so that more is carried on than begun.
    "advance",
    "advance twice"
  ]),
  slot: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: slots - 1 })),
  /** Which of the operations under way is carried on. */
  which: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 5 }))
})

const Steps = Schema.Array(Step).check(Schema.isMaxLength(60))

const key: SnapshotSlot.SnapshotKey = {
  defaultValue: "default",
  decode: (json) => (json === "nonsense" ? Result.fail("nonsense") : Result.succeed(json))
}

type Version = EntryRow | undefined
/** The versions that one transaction made, by slot; `undefined` if it changed nothing. */
type Transaction = ReadonlyArray<number | undefined>
type Table = ReadonlyArray<Version>

/** Sent, then answered by the database, then learned: each a function that returns what is left to do. */
type Operation = () => Operation | undefined

const play = (steps: ReadonlyArray<typeof Step.Type>) => {
  let revision = 0
  let version = 0
  let time = 0
  const histories: Array<Array<Version>> = Array.from({ length: slots }, () => [undefined])
  const shown: Array<number> = Array.from({ length: slots }, () => 0)
  const reported = new Set<bigint>()
  const transactions: Array<Transaction> = []
  const underWay: Array<Operation> = []
  /** What this process did and could not place: the snapshot counts again only once it shows this. */
  let owed: Array<{ readonly slot: number; readonly index: number }> = []
  let state = deepFreeze(Snapshot.make(Array.from({ length: slots }, () => key)))

  const table = (): Table => histories.map((history) => history.at(-1))
  const put = (slot: number, value: unknown, at = ++revision): EntryRow => {
    const row = {
      value,
      revision: at,
      updatedAt: ++version,
      updatedBy: "",
      fingerprint: BigInt(version)
    }
    histories[slot]!.push(row)
    return row
  }
  const erase = (slot: number) => {
    const last = table()[slot]
    if (last !== undefined) histories[slot]!.push(undefined)
    return last?.revision
  }

  /** The first version from `from` on that the snapshot can be showing. */
  const versionShown = (slot: number, from: number) => {
    const fingerprint = state.slots[slot]!.inForce?.fingerprint
    return histories[slot]!.findIndex((row, index) => index >= from && row?.fingerprint === fingerprint)
  }

  const together = (write: (slot: number) => void): Transaction => {
    const transaction = histories.map((history, slot) => {
      const before = history.length
      write(slot)
      return history.length > before ? before : undefined
    })
    transactions.push(transaction)
    return transaction
  }

  /** All versions that the last row seen can be: absence may have come about more than once. */
  const versionsSeen = (slot: number): ReadonlyArray<number> => {
    const fingerprint = state.slots[slot]!.seen?.fingerprint
    return histories[slot]!.flatMap((row, index) => (row?.fingerprint === fingerprint ? [index] : []))
  }

  /**
   * Whether the versions can be seen beside each other: what a transaction wrote here, beside what it wrote there or
   * later.
   */
  const isWhole = (versions: ReadonlyArray<number>) =>
    transactions.every(
      (transaction) =>
        versions.every((version, slot) => version !== transaction[slot]) ||
        versions.every((version, slot) => version >= (transaction[slot] ?? 0))
    )

  const assertWhole = () => {
    if (!state.loaded) return
    const [first, ...others] = Array.from({ length: slots }, (_, slot) => versionsSeen(slot))
    const possible = others.reduce(
      (combinations, versions) => combinations.flatMap((some) => versions.map((version) => [...some, version])),
      first!.map((version) => [version])
    )
    assert.isTrue(possible.some(isWhole), "a transaction was seen in part")
  }

  const absorb = (outcome: Snapshot.Outcome, settles = true) => {
    const before = state
    state = deepFreeze(outcome.state)
    for (let slot = 0; slot < slots; slot++) {
      const index = versionShown(slot, shown[slot]!)
      assert.isAtLeast(index, 0, `slot ${slot} went back in time`)
      shown[slot] = index
      assert.isAtLeast(Snapshot.confirmedAt(state, slot), Snapshot.confirmedAt(before, slot))
      assert.notStrictEqual(state.slots[slot]!.value, "nonsense")
    }
    for (const { slot } of outcome.rejected) {
      const { fingerprint } = state.slots[slot]!.seen!
      assert.isFalse(reported.has(fingerprint), "a bad row was reported twice")
      reported.add(fingerprint)
    }
    assert.strictEqual(state.epoch, 0, "an epoch began, though the table never went back")
    assertWhole()
    if (!Snapshot.isDisowned(state)) {
      for (const { index, slot } of owed) assertShows(slot, index)
      owed = []
    }
    if (settles && (outcome.inconclusive || outcome.regressed)) settle()
  }

  /** The same of a write of ours after which the database does not answer: what it left open stays open. */
  const absorbAlone = (outcome: Snapshot.Outcome, slot: number, index: number) => {
    absorb(outcome, false)
    if (Snapshot.isDisowned(state)) owed.push({ slot, index })
    else assertShows(slot, index)
  }

  const settle = () => {
    for (let inconclusive = true; inconclusive; ) {
      const since = Snapshot.begin(state, ++time)
      const outcome = Snapshot.applyDiff(state, diff(table(), Snapshot.fingerprints(state)), since)
      inconclusive = outcome.inconclusive
      absorb({ ...outcome, inconclusive: false })
    }
  }

  const diff = (table: Table, known: ReadonlyArray<bigint | undefined>) =>
    table.flatMap((row, slot) => (row?.fingerprint === known[slot] ? [] : [{ slot, row }]))

  /**
   * What the process read or did itself it sees at once: this version or a later one. If a bad row came in before the
   * answer, the value that was in force then stays (G6).
   */
  const assertShows = (slot: number, from: number) => {
    if (state.slots[slot]!.seen?.value === "nonsense") return
    const index = versionShown(slot, from)
    assert.isAtLeast(index, 0, `slot ${slot} does not show what this process read or did`)
    shown[slot] = Math.max(shown[slot]!, index)
  }

  const ask =
    <A>(answer: () => A, applyDiff: (answer: A) => void): Operation =>
    () => {
      const answered = answer()
      return () => {
        applyDiff(answered)
        return undefined
      }
    }

  const begin = (what: (typeof Step.Type)["what"], slot: number): Operation | undefined => {
    const since = Snapshot.begin(state, ++time)
    switch (what) {
      case "read everything": {
        const known = Snapshot.fingerprints(state)
        return ask(
          () => diff(table(), known),
          (answer) => absorb(Snapshot.applyDiff(state, answer, since))
        )
      }
      case "read one":
        return ask(
          () => ({ row: table()[slot], index: histories[slot]!.length - 1 }),
          ({ index, row }) => {
            absorb(Snapshot.applyRow(state, slot, row, since))
            assertShows(slot, index)
          }
        )
      case "own write":
        return ask(
          () => ({ row: put(slot, "ours"), index: histories[slot]!.length - 1 }),
          ({ index, row }) => {
            absorb(Snapshot.applyRows(state, [{ slot, row }], since))
            assertShows(slot, index)
          }
        )
      case "own transaction":
        return ask(
          () => ({ indices: together((slot) => put(slot, "together")), rows: table() }),
          ({ indices, rows }) => {
            absorb(
              Snapshot.applyRows(
                state,
                rows.map((row, slot) => ({ slot, row })),
                since
              )
            )
            for (const [slot, index] of indices.entries()) assertShows(slot, index!)
          }
        )
      case "own deletion":
        return ask(
          () => ({ deleted: erase(slot), index: histories[slot]!.length - 1 }),
          ({ deleted, index }) => {
            absorb(Snapshot.applyDeletion(state, slot, deleted, since))
            assertShows(slot, index)
          }
        )
      case "own write, alone":
        return ask(
          () => ({ row: put(slot, "ours"), index: histories[slot]!.length - 1 }),
          ({ index, row }) => absorbAlone(Snapshot.applyRows(state, [{ slot, row }], since), slot, index)
        )
      case "own deletion, alone":
        return ask(
          () => ({ deleted: erase(slot), index: histories[slot]!.length - 1 }),
          ({ deleted, index }) => absorbAlone(Snapshot.applyDeletion(state, slot, deleted, since), slot, index)
        )
      default:
        return undefined
    }
  }

  const advance = (which: number) => {
    const index = underWay.length === 0 ? -1 : which % underWay.length
    const rest = underWay[index]?.()
    if (index >= 0) underWay.splice(index, 1, ...(rest === undefined ? [] : [rest]))
  }

  for (const { slot, what, which } of steps) {
    const last = table()[slot]
    if (what === "write") put(slot, "theirs")
    else if (what === "write nonsense") put(slot, "nonsense")
    else if (what === "sign" && last?.value !== "nonsense") last && put(slot, last.value, last.revision)
    else if (what === "write in place") last && put(slot, "in place", last.revision)
    else if (what === "erase") erase(slot)
    else if (what === "write together") together((slot) => put(slot, "theirs together"))
    else if (what === "erase together") together(erase)
    else if (what.startsWith("advance")) {
      advance(which)
      if (what === "advance twice") advance(which)
    } else {
      const operation = begin(what, slot)
      if (operation !== undefined) underWay.push(operation)
    }
  }
  while (underWay.length > 0) advance(0)
  assert.isTrue(owed.length === 0 || Snapshot.isDisowned(state))
  const final = Snapshot.applyDiff(state, diff(table(), Snapshot.fingerprints(state)), Snapshot.begin(state, ++time))
  assert.isFalse(final.inconclusive)
  absorb(final)
  assert.deepStrictEqual(
    Snapshot.fingerprints(state),
    table().map((row) => row?.fingerprint)
  )
  assert.deepStrictEqual([owed.length, Snapshot.isDisowned(state)], [0, false])
  table().forEach((row, slot) => {
    if (row?.value !== "nonsense") assert.strictEqual(state.slots[slot]!.value, row?.value ?? "default")
  })
}

describe("any history of a snapshot", () => {
  it.prop(
    "G1, G2, G3, G6, G9: a snapshot ends at the table, never goes back or apart, shows our own writes, and reports a bad row once",
    [Steps],
    ([steps]) => play(steps),
    {
      arbitrary: {
        runs: Number(process.env.SYSTEMPLANE_SNAPSHOT_RUNS ?? 1000),
        size: 60,
        maxShrinks: 20_000,
        seed: "effect-systemplane"
      }
    }
  )
})
