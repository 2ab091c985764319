/** Deletions in the pure core: invariant 3 in the header of `Snapshot.ts`. */
import { assert, describe, it } from "@effect/vitest"
import * as Snapshot from "../../src/schema/Snapshot.ts"
import { a, absent, assertOutcome, b, bad, empty, frozen, loaded, quiet, row, shows } from "../support/SnapshotCases.ts"
import { at, whole, wrote } from "../support/TestAnswers.ts"

describe("invariant 3: a deletion is fenced", () => {
  it("a deletion puts the default in force, at revision 0", () => {
    const outcome = whole(loaded, { [a]: undefined })
    assert.deepStrictEqual(shows(outcome.state, a), absent)
    assert.lengthOf(outcome.published, 1)
  })

  it("G2: a read that began before a deletion does not bring the row back", () => {
    const since = at(loaded)
    const deleted = frozen(whole(loaded, { [a]: undefined }, since))
    assert.deepStrictEqual(shows(Snapshot.applyRow(deleted, a, row(5), since).state, a), absent)
  })

  it("a higher row that may be older than the deletion is inconclusive", () => {
    const since = at(loaded)
    const deleted = frozen(whole(loaded, { [a]: undefined }, since))
    const outcome = Snapshot.applyRow(deleted, a, row(8), since)
    assertOutcome(outcome, { inconclusive: true })
    assert.deepStrictEqual(shows(outcome.state, a), absent)
  })

  it("an absence that may be older than the row is inconclusive", () => {
    const since = at(loaded)
    const written = frozen(wrote(loaded, a, row(8), since))
    const outcome = whole(written, { [a]: undefined }, since)
    assertOutcome(outcome, { inconclusive: true })
    assert.deepStrictEqual(shows(outcome.state, a), ["v8", 8])
  })

  it("a deleted key comes back above every revision that it had, in the same epoch", () => {
    const deleted = frozen(whole(loaded, { [a]: undefined }))
    const outcome = whole(deleted, { [a]: row(9) })
    assert.deepStrictEqual([shows(outcome.state, a), outcome.state.epoch], [["v9", 9], 0])
  })

  it("G3: our own deletion counts at once, whatever was read before it", () => {
    const since = at(loaded)
    const refreshed = frozen(wrote(loaded, a, row(7), since))
    const outcome = Snapshot.applyDeletion(refreshed, a, 7, since)
    assert.deepStrictEqual([shows(outcome.state, a), outcome.inconclusive], [absent, false])
  })

  it("our own deletion of a row that this process had not seen fences its revision", () => {
    const deleted = frozen(Snapshot.applyDeletion(loaded, a, 8, at(loaded)))
    assert.strictEqual(whole(deleted, { [a]: row(8) }).state.epoch, 1)
    assert.strictEqual(whole(deleted, { [a]: row(9) }).state.epoch, 0)
  })

  it("our own deletion that found no row is only as good as a read", () => {
    const since = at(loaded)
    const written = frozen(wrote(loaded, a, row(8), since))
    assert.isTrue(Snapshot.applyDeletion(written, a, undefined, since).inconclusive)
    assert.deepStrictEqual(shows(Snapshot.applyDeletion(empty, a, undefined, since).state, a), absent)
  })

  /** A whole read that is under way while we delete. */
  const since = at(empty)

  for (const [what, deleted] of [
    ["a row that this process had not seen", 5],
    ["no row, because another writer was faster", undefined]
  ] as const) {
    it(`G3: our own deletion of ${what} keeps a read that is under way from bringing in an older row`, () => {
      const gone = frozen(Snapshot.applyDeletion(empty, a, deleted, since))
      for (const outcome of [whole(gone, { [a]: row(5) }, since), Snapshot.applyRow(gone, a, row(5), since)]) {
        assert.deepStrictEqual([shows(outcome.state, a), outcome.state.epoch], [absent, 0])
        assertOutcome(outcome, { inconclusive: deleted === undefined })
      }
    })
  }

  it("our own deletion does not undo a row that was created after it and seen before its answer", () => {
    const since = at(loaded)
    const created = frozen(whole(loaded, { [a]: row(9) }, since))
    assertOutcome(Snapshot.applyDeletion(created, a, 5, since), { inconclusive: true })
    assert.deepStrictEqual(shows(Snapshot.applyDeletion(created, a, 5, since).state, a), ["v9", 9])
  })

  it("a whole read that found no row makes a row of a read that began before it inconclusive", () => {
    const since = at(empty)
    const read = frozen(whole(empty, {}))
    assertOutcome(Snapshot.applyRow(read, a, row(5), since), { inconclusive: true })
    assert.deepStrictEqual(shows(wrote(read, a, row(5), at(read)).state, a), ["v5", 5])
  })

  it("our own deletion of a row that this process had not seen does not hide a newer one", () => {
    const gone = frozen(Snapshot.applyDeletion(empty, a, 5, since))
    assertOutcome(whole(gone, { [a]: row(8) }, since), { inconclusive: true })
    assert.deepStrictEqual(shows(whole(gone, { [a]: row(8) }).state, a), ["v8", 8])
  })

  it("G4: a whole read with an inconclusive row confirms nothing", () => {
    const before = frozen(whole(empty, {}, at(empty, 100)))
    const since = at(before, 200)
    const gone = frozen(Snapshot.applyDeletion(before, a, 5, at(before, 150)))
    const read = whole(gone, { [a]: row(8) }, since)
    assert.deepStrictEqual([read.inconclusive, Snapshot.confirmedAt(read.state, b)], [true, 100])
    assert.isBelow(Snapshot.confirmedAt(read.state, a), 200)
    const inconclusive = whole(read.state, { [a]: row(8) }, at(read.state, 300))
    assert.deepStrictEqual(
      [shows(inconclusive.state, a), Snapshot.confirmedAt(inconclusive.state, a)],
      [["v8", 8], 300]
    )
  })

  it("our own deletion publishes the default, and a second one nothing", () => {
    const first = Snapshot.applyDeletion(loaded, a, 5, at(loaded))
    assert.deepStrictEqual(
      first.published.map(({ after, before, slot }) => [slot, before.value, after.value]),
      [[a, "v5", "default"]]
    )
    const gone = frozen(first)
    assertOutcome(Snapshot.applyDeletion(gone, a, undefined, at(gone)), quiet)
  })

  it("our own deletion confirms the key", () => {
    const gone = Snapshot.applyDeletion(loaded, a, 5, at(loaded, 7)).state
    assert.deepStrictEqual([Snapshot.confirmedAt(gone, a), Snapshot.confirmedAt(gone, b)], [7, 0])
  })

  it("our own deletion of an older row than the one seen is inconclusive", () => {
    const outcome = Snapshot.applyDeletion(loaded, a, 3, at(loaded))
    assertOutcome(outcome, { inconclusive: true })
    assert.strictEqual(outcome.state.slots, loaded.slots)
  })

  it("G6: the deletion of a bad row puts the default in force, and an older row stays out", () => {
    const since = at(loaded)
    const gone = frozen(Snapshot.applyDeletion(frozen(whole(loaded, { [a]: row(9, bad) }, since)), a, 9, since))
    assert.deepStrictEqual(shows(gone, a), absent)
    assertOutcome(Snapshot.applyRow(gone, a, row(5), since), quiet)
  })

  it("G2: a read of one key that found no row keeps older reads from bringing one in", () => {
    const none = frozen(whole(empty, {}))
    const since = at(none)
    const gone = frozen(Snapshot.applyRow(none, a, undefined, since))
    assertOutcome(whole(gone, { [a]: row(5) }, since), { inconclusive: true })
    assert.deepStrictEqual(shows(whole(gone, { [a]: row(5) }).state, a), ["v5", 5])
  })

  it("an absence publishes nothing if there was no row, however old the read is", () => {
    const since = at(loaded)
    const gone = frozen(whole(loaded, { [a]: undefined }))
    assertOutcome(Snapshot.applyRow(gone, a, undefined, since), quiet)
  })

  it("a deletion no longer counts once the key was created again", () => {
    const created = frozen(whole(frozen(whole(loaded, { [a]: undefined })), { [a]: row(8) }))
    assert.deepStrictEqual(shows(wrote(created, a, row(9), at(loaded)).state, a), ["v9", 9])
  })
})
