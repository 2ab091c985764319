/**
 * Random histories of one tenant whose table goes back to backups: a model of the table, reads that begin and end at
 * different times, our own writes and those of others. `SnapshotModel.test.ts` has the histories of a table that never
 * goes back, and promises more of them.
 */
import { assert, describe, it } from "@effect/vitest"
import { Result } from "effect"
import type { EntryRow } from "../../src/schema/EntryRow.ts"
import * as Snapshot from "../../src/schema/Snapshot.ts"
import * as SnapshotSlot from "../../src/schema/SnapshotSlot.ts"

const slots = 3

/** mulberry32: a history is named by its seed, and can be replayed. */
const randomFrom = (seed: number) => () => {
  seed = (seed + 0x6d2b79f5) | 0
  let t = Math.imul(seed ^ (seed >>> 15), 1 | seed)
  t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
  return ((t ^ (t >>> 14)) >>> 0) / 4294967296
}

const row = (revision: number): EntryRow => ({
  value: revision,
  revision,
  updatedAt: revision,
  updatedBy: "",
  fingerprint: BigInt(revision)
})

type Table = ReadonlyArray<EntryRow | undefined>

const keys = Array.from({ length: slots }, () => ({ defaultValue: 0, decode: (json: unknown) => Result.succeed(json) }))

const play = (seed: number) => {
  const random = randomFrom(seed)
  const pick = (n: number) => Math.floor(random() * n)
  let table: Table = keys.map(() => undefined)
  let sequence = 0
  let state = Snapshot.make(keys)
  let time = 0
  const deletions = keys.map(() => 0)
  const pending: Array<() => void> = []
  const log: Array<string> = []
  let wentBack = false
  const backups: Array<{ readonly table: Table; readonly sequence: number }> = []

  const difference = (table: Table, known: ReadonlyArray<bigint | undefined>) =>
    table.flatMap((row, slot) => (row?.fingerprint === known[slot] ? [] : [{ slot, row }]))

  /** Puts an outcome in force; no revision may fall, but to 0 by a deletion or in a new epoch (G2). */
  const absorb = (what: string, outcome: Snapshot.Outcome) => {
    log.push(what)
    for (const { after, before, slot } of outcome.published) {
      const fell = SnapshotSlot.revision(after) < SnapshotSlot.revision(before) && SnapshotSlot.revision(after) !== 0
      assert.isFalse(
        fell && outcome.state.epoch === state.epoch,
        `seed ${seed}: slot ${slot} fell from ${SnapshotSlot.revision(before)} to ${SnapshotSlot.revision(after)}: ${log.join(", ")}`
      )
    }
    state = outcome.state
    return outcome
  }

  const readAll = () => {
    const since = Snapshot.begin(state, time)
    const known = Snapshot.fingerprints(state)
    const diff = difference(table, known)
    return () => absorb("read all", Snapshot.applyDiff(state, diff, since))
  }

  const settle = () => {
    for (let inconclusive = true; inconclusive; ) inconclusive = readAll()().inconclusive
  }

  const readOne = (slot: number) => {
    const since = Snapshot.begin(state, time)
    const seen = table[slot]
    return () => {
      const { inconclusive, regressed } = absorb(`read ${slot}`, Snapshot.applyRow(state, slot, seen, since))
      if (inconclusive || regressed) settle()
    }
  }

  const write = (slot: number) => {
    table = table.with(slot, row(++sequence))
  }

  const ownWrite = (slot: number) => {
    const since = Snapshot.begin(state, time)
    write(slot)
    const written = table[slot]!
    const deletedBefore = deletions[slot]
    return () => {
      const { inconclusive, regressed } = absorb(
        `own write ${slot} ${written.revision}`,
        Snapshot.applyRows(state, [{ slot, row: written }], since)
      )
      if (inconclusive || regressed) settle()
      // G3: this value or a newer one, unless the row was deleted or the table ever went back.
      const seen = SnapshotSlot.revision(state.slots[slot]!)
      const deletedSince = deletions[slot] !== deletedBefore
      assert.isTrue(
        seen >= written.revision || deletedSince || wentBack,
        `seed ${seed}: lost own write ${slot}: ${log.join(", ")}`
      )
    }
  }

  const erase = (slot: number) => {
    table = table.with(slot, undefined)
    deletions[slot]!++
  }

  const ownDelete = (slot: number) => {
    const since = Snapshot.begin(state, time)
    const deleted = table[slot]?.revision
    erase(slot)
    return () => {
      const { inconclusive, regressed } = absorb(
        `own delete ${slot}`,
        Snapshot.applyDeletion(state, slot, deleted, since)
      )
      if (inconclusive || regressed) settle()
    }
  }

  for (let step = 0; step < 60; step++) {
    time++
    const slot = pick(slots)
    switch (pick(9)) {
      case 0:
      case 1:
        write(slot)
        break
      case 2:
        erase(slot)
        break
      case 3:
        pending.push(readAll())
        break
      case 4:
        pending.push(readOne(slot))
        break
      case 5:
        pending.push(ownWrite(slot))
        break
      case 6:
        pending.push(ownDelete(slot))
        break
      case 7:
        if (pending.length > 0) pending.splice(pick(pending.length), 1)[0]!()
        break
      case 8:
        if (random() < 0.7) backups.push({ table, sequence })
        else if (backups.length > 0) {
          wentBack = true
          ;({ table, sequence } = backups[pick(backups.length)]!)
        }
        break
    }
  }
  while (pending.length > 0) pending.splice(pick(pending.length), 1)[0]!()
  settle()
  assert.deepStrictEqual(
    state.slots.map(SnapshotSlot.revision),
    table.map((row) => row?.revision ?? 0),
    `seed ${seed}: did not converge: ${log.join(", ")}`
  )
  return log.length
}

describe("random histories of a snapshot whose table goes back to backups", () => {
  it("G1, G3: the snapshot converges to the table, and shows our own writes if the table never went back", () => {
    let steps = 0
    for (let seed = 1; seed <= 3000; seed++) steps += play(seed)
    assert.isAbove(steps, 30_000)
  })
})
