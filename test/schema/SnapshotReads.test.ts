/** What one answer of the database says to the pure core: invariants 7, 8 and 9 in the header of `Snapshot.ts`. */
import { assert, describe, it } from "@effect/vitest"
import * as Snapshot from "../../src/schema/Snapshot.ts"
import * as SnapshotSlot from "../../src/schema/SnapshotSlot.ts"
import { a, assertOutcome, b, bad, empty, frozen, loaded, quiet, row, shows } from "../support/SnapshotCases.ts"
import { at, whole, wrote } from "../support/TestAnswers.ts"

describe("invariant 7: one read is one step", () => {
  it("G9: a whole read publishes everything in one state", () => {
    const outcome = whole(loaded, { [a]: row(7), [b]: row(8) })
    assert.deepStrictEqual(
      [shows(outcome.state, a), shows(outcome.state, b)],
      [
        ["v7", 7],
        ["v8", 8]
      ]
    )
    assert.strictEqual(outcome.state.version, loaded.version + 1)
  })

  it("G9: rows that were written together are published all or not at all", () => {
    const since = at(loaded)
    const deleted = frozen(whole(loaded, { [b]: undefined }, since))
    const rows = [
      { slot: a, row: row(8) },
      { slot: b, row: row(9) }
    ]
    const outcome = Snapshot.applyRows(deleted, rows, since)
    assertOutcome(outcome, { inconclusive: true })
    assert.strictEqual(outcome.state.slots, deleted.slots)
  })

  it("a whole read leaves each slot that did not differ as it is", () => {
    const outcome = whole(loaded, { [a]: row(8) })
    assert.strictEqual(outcome.state.slots[b], loaded.slots[b])
    assert.notStrictEqual(outcome.state.slots[a], loaded.slots[a])
  })

  it("a whole read that finds no difference keeps all slots", () => {
    const outcome = whole(loaded, {}, at(loaded, 9))
    assertOutcome(outcome, quiet)
    assert.strictEqual(outcome.state.slots, loaded.slots)
  })

  it("G9: our own rows of one transaction are published in one state", () => {
    const outcome = Snapshot.applyRows(
      loaded,
      [
        { slot: b, row: row(9) },
        { slot: a, row: row(8) }
      ],
      at(loaded, 4)
    )
    assert.deepStrictEqual(outcome.state.slots.map(SnapshotSlot.revision), [8, 9])
    assert.deepStrictEqual([Snapshot.confirmedAt(outcome.state, a), Snapshot.confirmedAt(outcome.state, b)], [4, 4])
  })

  it("our own write without rows changes nothing", () => {
    assert.strictEqual(Snapshot.applyRows(loaded, [], at(loaded, 4)).state, loaded)
  })

  it("each published change names the slot before and after, as the states have it", () => {
    const outcome = whole(loaded, { [a]: row(8), [b]: undefined })
    for (const { after, before, slot } of outcome.published) {
      assert.strictEqual(before, loaded.slots[slot])
      assert.strictEqual(after, outcome.state.slots[slot])
    }
    assert.lengthOf(outcome.published, 2)
  })

  it("a value in force cannot be changed afterwards", () => {
    const { value } = whole(empty, { [a]: row(7, { list: [{ of: 1 }] }) }).state.slots[a]!
    assert.throws(() => Object.assign((value as { list: Array<object> }).list[0]!, { of: 2 }), TypeError)
  })

  describe("a whole read with an inconclusive row", () => {
    /**
     * While everything is read, we delete the row and another writer creates it anew, before or after the read: the
     * plane cannot know.
     */
    const asked = at(loaded, 9)
    const gone = frozen(Snapshot.applyDeletion(loaded, a, 5, asked))
    const open = whole(gone, { [a]: row(7), [b]: row(8) }, asked)

    it("G9: publishes nothing", () => {
      assertOutcome(open, { inconclusive: true })
      assert.strictEqual(open.state, gone)
    })

    it("a whole read with an inconclusive row reports no bad row: the next read does", () => {
      assertOutcome(whole(gone, { [a]: row(7), [b]: row(8, bad) }, asked), { inconclusive: true })
    })

    it("a whole read with an inconclusive row begins no epoch", () => {
      const back = whole(gone, { [a]: row(7), [b]: row(2) }, asked)
      assertOutcome(back, { inconclusive: true })
      assert.strictEqual(back.state.epoch, 0)
    })

    it("a whole read with an inconclusive row does not count as loaded", () => {
      const deleted = frozen(Snapshot.applyDeletion(empty, a, 5, at(empty)))
      assert.isFalse(whole(deleted, { [a]: row(7), [b]: row(8) }, at(empty)).state.loaded)
    })
  })

  it("G9: a whole read counts what it does not mention as it was when the read began", () => {
    const none = frozen(whole(empty, {}))
    const asked = at(none)
    const created = frozen(wrote(none, a, row(5), asked))
    // It found no row of `a`: before ours was written, or after another writer deleted it and wrote the other.
    assertOutcome(whole(created, { [b]: row(8) }, asked), { inconclusive: true })
    assert.lengthOf(whole(frozen(wrote(loaded, a, row(9))), { [b]: row(8) }, at(loaded)).published, 1)
  })

  it("a snapshot is loaded by the first whole read, and by nothing less", () => {
    assert.isFalse(Snapshot.applyRow(empty, a, row(5), at(empty)).state.loaded)
    assert.isTrue(whole(empty, {}).state.loaded)
  })
})

describe("invariant 8: a loaded snapshot is one state of the table, and our writes over it", () => {
  it("G9: a read of one key publishes neither a row nor its absence, and is inconclusive", () => {
    for (const found of [row(7), row(5, "other"), row(8, bad), undefined]) {
      const outcome = Snapshot.applyRow(loaded, a, found, at(loaded, 9))
      assertOutcome(outcome, { inconclusive: true })
      assert.strictEqual(outcome.state, loaded)
    }
  })

  it("G9: our own deletion that found no row is inconclusive", () => {
    assertOutcome(Snapshot.applyDeletion(loaded, a, undefined, at(loaded)), { inconclusive: true })
  })

  describe("before the first load", () => {
    const asked = at(empty)
    const read = frozen(Snapshot.applyRow(empty, a, row(7), at(empty)))

    it("a read of one key publishes what it found", () => {
      assert.deepStrictEqual(shows(read, a), ["v7", 7])
    })

    it("a load that began before counts only if it found the same", () => {
      for (const rows of [{ [a]: row(5), [b]: row(6) }, { [a]: row(9), [b]: row(8) }, { [b]: row(6) }]) {
        const outcome = whole(read, rows, asked)
        assertOutcome(outcome, { inconclusive: true })
        assert.strictEqual(outcome.state, read)
      }
      const loaded = whole(read, { [a]: row(7), [b]: row(8) }, asked)
      assert.deepStrictEqual(
        [shows(loaded.state, a), shows(loaded.state, b)],
        [
          ["v7", 7],
          ["v8", 8]
        ]
      )
    })

    it("a load that began after it counts", () => {
      assert.deepStrictEqual(shows(whole(read, { [a]: row(9) }).state, a), ["v9", 9])
    })
  })
})

describe("invariant 9: our own write that is inconclusive disowns what was read before its answer", () => {
  const none = frozen(whole(empty, {}))
  const since = at(empty, 1)

  it("G3: our own row that is inconclusive disowns a whole read that began before its answer, and not one that begins after", () => {
    const underWay = at(none, 2)
    const written = Snapshot.applyRows(none, [{ slot: a, row: row(7) }], since)
    assert.deepStrictEqual([written.inconclusive, Snapshot.isDisowned(written.state)], [true, true])
    const older = Snapshot.applyDiff(written.state, [], underWay)
    assert.deepStrictEqual([older.inconclusive, Snapshot.isDisowned(older.state)], [true, true])
    const later = whole(written.state, { [a]: row(7) })
    assert.deepStrictEqual([later.inconclusive, Snapshot.isDisowned(later.state)], [false, false])
    assert.deepStrictEqual(shows(later.state, a), ["v7", 7])
  })

  it("G3: our own deletion that found nothing disowns too, and so does a change of ours that no row tells of any more", () => {
    const written = frozen(wrote(loaded, a, row(9), at(loaded)))
    const deleted = Snapshot.applyDeletion(written, a, undefined, at(loaded))
    assert.deepStrictEqual([deleted.inconclusive, Snapshot.isDisowned(deleted.state)], [true, true])
    assert.isTrue(Snapshot.isDisowned(Snapshot.applyUnseen(loaded).state))
  })

  it("a read of one key that is inconclusive disowns nothing", () => {
    const read = Snapshot.applyRow(none, a, row(7), since)
    assert.deepStrictEqual([read.inconclusive, Snapshot.isDisowned(read.state)], [true, false])
  })
})

describe("confirmation", () => {
  it("G4: a read of one key confirms that key alone", () => {
    const state = Snapshot.applyRow(loaded, a, row(5), at(loaded, 100)).state
    assert.deepStrictEqual([Snapshot.confirmedAt(state, a), Snapshot.confirmedAt(state, b)], [100, 0])
  })

  it("a key was confirmed by a read of its own or by a whole read, whichever was later", () => {
    const own = frozen(Snapshot.applyRow(loaded, a, row(5), at(loaded, 100)))
    const all = frozen(whole(own, {}, at(own, 60)))
    assert.deepStrictEqual([Snapshot.confirmedAt(all, a), Snapshot.confirmedAt(all, b)], [100, 60])
  })

  it("G4: a read of what was recorded confirms what it names now, and all else as of the last comparison", () => {
    const { state } = Snapshot.applyDiff(loaded, [{ slot: a, row: row(9) }], at(loaded, 100), 60)
    assert.deepStrictEqual([Snapshot.confirmedAt(state, a), Snapshot.confirmedAt(state, b)], [100, 60])
  })

  it("G4: the time of confirmation never runs backwards, in whatever order answers are applied", () => {
    const later = frozen(Snapshot.applyRow(loaded, a, row(5), at(loaded, 100)))
    assert.strictEqual(Snapshot.applyRow(later, a, row(5), at(later, 40)).state, later)
    const all = frozen(whole(loaded, {}, at(loaded, 100)))
    assert.strictEqual(Snapshot.confirmedAt(whole(all, {}, at(all, 40)).state, b), 100)
  })

  it("a bad row confirms its key, whose value stays in force", () => {
    assert.strictEqual(Snapshot.confirmedAt(wrote(loaded, a, row(9, bad), at(loaded, 8)).state, a), 8)
  })

  it("an inconclusive or regressed answer confirms nothing", () => {
    const since = at(loaded, 8)
    const gone = frozen(whole(loaded, { [a]: undefined }))
    for (const outcome of [
      Snapshot.applyRow(gone, a, row(9), since),
      Snapshot.applyRow(loaded, a, row(2), since),
      Snapshot.applyDeletion(frozen(wrote(loaded, a, row(9), since)), a, undefined, since)
    ]) {
      assert.isTrue(outcome.inconclusive || outcome.regressed)
      assert.isBelow(Snapshot.confirmedAt(outcome.state, b), 8)
    }
    assert.strictEqual(Snapshot.confirmedAt(Snapshot.applyRow(gone, a, row(9), since).state, a), 0)
  })
})
