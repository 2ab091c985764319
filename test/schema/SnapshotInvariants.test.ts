import { assert, describe, it } from "@effect/vitest"
import { Result } from "effect"
import type { EntryRow } from "../../src/schema/EntryRow.ts"
import * as Snapshot from "../../src/schema/Snapshot.ts"
import { whole, wrote } from "../support/TestAnswers.ts"

/** Values are numbers; anything else is a bad row. */
const number: Snapshot.SnapshotKey = {
  defaultValue: 0,
  decode: (json) => (typeof json === "number" ? Result.succeed(json) : Result.fail("not a number"))
}

const a = 0
const b = 1

const row = (revision: number, value: unknown, updatedBy = "somebody"): EntryRow => ({
  value,
  revision,
  updatedAt: revision,
  updatedBy,
  fingerprint:
    BigInt(revision) * 1_000_000n +
    BigInt([...JSON.stringify([value, updatedBy])].reduce((h, c) => (h * 31 + c.charCodeAt(0)) % 999_983, 7))
})

const empty = Snapshot.make([number, number])

const loaded = whole(empty, { [a]: row(5, 50), [b]: row(6, 60) }).state

const inForce = (state: Snapshot.State, slot: number) => state.slots[slot]!.value
const revisionOf = (state: Snapshot.State, slot: number) => Snapshot.revision(state.slots[slot]!)

describe("Snapshot", () => {
  it("starts with the defaults at revision 0", () => {
    assert.deepStrictEqual([inForce(empty, a), revisionOf(empty, a), empty.loaded], [0, 0, false])
  })

  describe("1. revisions of a slot only grow (G2)", () => {
    it("publishes a higher revision", () => {
      const outcome = wrote(loaded, a, row(7, 70), Snapshot.begin(loaded, 1))
      assert.strictEqual(inForce(outcome.state, a), 70)
      assert.deepStrictEqual(
        outcome.published.map(({ after, before, slot }) => [slot, before.value, after.value]),
        [[a, 50, 70]]
      )
    })

    it("drops a lower one that was read before the slot was published", () => {
      const since = Snapshot.begin(loaded, 1)
      const newer = wrote(loaded, a, row(7, 70), since).state
      const outcome = Snapshot.applyRow(newer, a, row(5, 50), since)
      assert.strictEqual(inForce(outcome.state, a), 70)
      assert.deepStrictEqual([outcome.published, outcome.inconclusive, outcome.regressed], [[], false, false])
    })

    it("takes a higher one even when it was read before the slot was published", () => {
      const since = Snapshot.begin(loaded, 1)
      const newer = wrote(loaded, a, row(7, 70), since).state
      assert.strictEqual(inForce(wrote(newer, a, row(8, 80), since).state, a), 80)
    })
  })

  describe("2. a table that went back (G1)", () => {
    it("is reported, and changes nothing, where one key alone was read", () => {
      const outcome = Snapshot.applyRow(loaded, a, row(3, 30), Snapshot.begin(loaded, 1))
      assert.isTrue(outcome.regressed)
      assert.deepStrictEqual(outcome.state.slots, loaded.slots)
    })

    it("begins a new epoch where everything was read, and is taken as it is", () => {
      const outcome = whole(loaded, { [a]: row(3, 30), [b]: undefined })
      assert.deepStrictEqual([outcome.state.epoch, outcome.regressed, outcome.inconclusive], [1, false, false])
      assert.deepStrictEqual([inForce(outcome.state, a), revisionOf(outcome.state, a)], [30, 3])
      assert.deepStrictEqual([inForce(outcome.state, b), revisionOf(outcome.state, b)], [0, 0])
    })

    it("is found out by a deleted key that comes back below its highestRevision", () => {
      const deleted = whole(loaded, { [a]: undefined }).state
      const outcome = whole(deleted, { [a]: row(4, 40) })
      assert.deepStrictEqual([outcome.state.epoch, inForce(outcome.state, a)], [1, 40])
    })

    it("does not take back what was published while the read was under way", () => {
      const since = Snapshot.begin(loaded, 1)
      const written = wrote(loaded, b, row(9, 90), since).state
      const outcome = whole(written, { [a]: row(3, 30), [b]: row(6, 60) }, since)
      assert.deepStrictEqual([outcome.state.epoch, inForce(outcome.state, a), inForce(outcome.state, b)], [1, 30, 90])
    })
  })

  describe("3. a deletion is fenced", () => {
    it("puts the default in force at revision 0", () => {
      const outcome = whole(loaded, { [a]: undefined })
      assert.deepStrictEqual([inForce(outcome.state, a), revisionOf(outcome.state, a)], [0, 0])
      assert.strictEqual(outcome.published.length, 1)
    })

    it("keeps an older read from bringing the row back", () => {
      const since = Snapshot.begin(loaded, 1)
      const deleted = whole(loaded, { [a]: undefined }, since).state
      assert.strictEqual(inForce(Snapshot.applyRow(deleted, a, row(5, 50), since).state, a), 0)
    })

    it("asks inconclusive for a row that may be older than the deletion, though nobody saw its revision", () => {
      const since = Snapshot.begin(loaded, 1)
      const deleted = whole(loaded, { [a]: undefined }, since).state
      const outcome = Snapshot.applyRow(deleted, a, row(8, 80), since)
      assert.isTrue(outcome.inconclusive)
      assert.strictEqual(inForce(outcome.state, a), 0)
    })

    it("asks inconclusive for an absence that may be older than the row", () => {
      const since = Snapshot.begin(loaded, 1)
      const written = wrote(loaded, a, row(8, 80), since).state
      const outcome = whole(written, { [a]: undefined }, since)
      assert.isTrue(outcome.inconclusive)
      assert.strictEqual(inForce(outcome.state, a), 80)
    })

    it("lets the key come back above every revision it had", () => {
      const deleted = whole(loaded, { [a]: undefined }).state
      const outcome = whole(deleted, { [a]: row(9, 90) })
      assert.deepStrictEqual([inForce(outcome.state, a), outcome.state.epoch], [90, 0])
    })

    it("of our own counts at once, whatever was read before it", () => {
      const since = Snapshot.begin(loaded, 1)
      const refreshed = wrote(loaded, a, row(7, 70), since).state
      const outcome = Snapshot.applyDeletion(refreshed, a, 7, since)
      assert.deepStrictEqual([inForce(outcome.state, a), outcome.inconclusive], [0, false])
    })

    it("of our own does not undo a row that was created after it", () => {
      const since = Snapshot.begin(loaded, 1)
      const recreated = wrote(loaded, a, row(9, 90), since).state
      const outcome = Snapshot.applyDeletion(recreated, a, 5, since)
      assert.strictEqual(inForce(outcome.state, a), 90)
      assert.isTrue(outcome.inconclusive)
    })

    it("of our own fences a revision that nobody here had seen", () => {
      const deleted = Snapshot.applyDeletion(loaded, a, 8, Snapshot.begin(loaded, 1)).state
      assert.strictEqual(whole(deleted, { [a]: row(8, 80) }).state.epoch, 1)
      assert.strictEqual(whole(deleted, { [a]: row(9, 90) }).state.epoch, 0)
    })

    it("that found no row is only as good as a read", () => {
      const since = Snapshot.begin(loaded, 1)
      const written = wrote(loaded, a, row(8, 80), since).state
      assert.isTrue(Snapshot.applyDeletion(written, a, undefined, since).inconclusive)
      assert.strictEqual(inForce(Snapshot.applyDeletion(empty, a, undefined, since).state, a), 0)
    })
  })

  describe("4. the same row publishes nothing (G3)", () => {
    it("the same row is our own echo", () => {
      const outcome = Snapshot.applyRow(loaded, a, row(5, 50), Snapshot.begin(loaded, 9))
      assert.deepStrictEqual(outcome.published, [])
      assert.strictEqual(Snapshot.confirmedAt(outcome.state, a), 9)
    })

    it("the same revision and value refreshes who wrote it", () => {
      const outcome = whole(loaded, { [a]: row(5, 50, "another") })
      assert.deepStrictEqual(outcome.published, [])
      assert.strictEqual(outcome.state.slots[a]!.inForce?.updatedBy, "another")
    })

    it("the same revision with another value is published", () => {
      const outcome = whole(loaded, { [a]: row(5, 51) })
      assert.strictEqual(outcome.published.length, 1)
      assert.strictEqual(inForce(outcome.state, a), 51)
    })

    it("a new revision with the same value is published once more", () => {
      const outcome = whole(loaded, { [a]: row(7, 50) })
      assert.deepStrictEqual([outcome.published.length, revisionOf(outcome.state, a)], [1, 7])
    })
  })

  describe("5. a bad row never comes into force (G6)", () => {
    it("leaves the last valid value, and is reported without the value", () => {
      const outcome = whole(loaded, { [a]: row(8, "bad") })
      assert.deepStrictEqual([inForce(outcome.state, a), revisionOf(outcome.state, a)], [50, 5])
      assert.deepStrictEqual(outcome.rejected, [{ slot: a, revision: 8, reason: "not a number" }])
      assert.deepStrictEqual(outcome.published, [])
    })

    it("leaves the default where there was no valid value", () => {
      assert.deepStrictEqual([inForce(whole(empty, { [a]: row(8, "bad") }).state, a)], [0])
    })

    it("is reported once", () => {
      const seen = whole(loaded, { [a]: row(8, "bad") }).state
      assert.deepStrictEqual(Snapshot.applyRow(seen, a, row(8, "bad"), Snapshot.begin(seen, 1)).rejected, [])
      assert.strictEqual(Snapshot.fingerprints(seen)[a], row(8, "bad").fingerprint)
    })

    it("is followed by a valid one, or by the default once it is deleted", () => {
      const seen = whole(loaded, { [a]: row(8, "bad") }).state
      assert.strictEqual(inForce(whole(seen, { [a]: row(9, 90) }).state, a), 90)
      assert.strictEqual(inForce(whole(seen, { [a]: undefined }).state, a), 0)
    })
  })

  describe("6. a new epoch disowns the old one's reads", () => {
    it("asks inconclusive for whatever began before it", () => {
      const since = Snapshot.begin(loaded, 1)
      const epoch = whole(loaded, { [a]: row(3, 30) }).state
      const read = Snapshot.applyRow(epoch, a, row(8, 80), since)
      assert.deepStrictEqual([read.inconclusive, inForce(read.state, a)], [true, 30])
      const deletion = Snapshot.applyDeletion(epoch, a, 5, since)
      assert.deepStrictEqual([deletion.inconclusive, inForce(deletion.state, a)], [true, 30])
    })
  })

  describe("7. one read is one step (G9)", () => {
    it("publishes everything of a whole read in one state", () => {
      const outcome = whole(loaded, { [a]: row(7, 1), [b]: row(8, 1) })
      assert.deepStrictEqual(
        outcome.state.slots.map((slot) => slot.value),
        [1, 1]
      )
      assert.strictEqual(outcome.state.version, loaded.version + 1)
    })

    it("publishes a set of written rows whole or not at all", () => {
      const since = Snapshot.begin(loaded, 1)
      const deleted = whole(loaded, { [b]: undefined }, since).state
      const outcome = Snapshot.applyRows(
        deleted,
        [
          { slot: a, row: row(8, 1) },
          { slot: b, row: row(9, 1) }
        ],
        since
      )
      assert.isTrue(outcome.inconclusive)
      assert.strictEqual(outcome.state.slots, deleted.slots)
    })

    it("never changes a state that was given out", () => {
      const before = structuredClone(
        loaded.slots.map(({ value, highestRevision, publishedAt }) => ({ value, highestRevision, publishedAt }))
      )
      whole(loaded, { [a]: row(9, 90), [b]: undefined })
      whole(loaded, { [a]: row(1, 10) })
      Snapshot.applyDeletion(loaded, a, 5, Snapshot.begin(loaded, 3))
      assert.deepStrictEqual(
        loaded.slots.map(({ value, highestRevision, publishedAt }) => ({ value, highestRevision, publishedAt })),
        before
      )
    })

    it("freezes what it puts in force", () => {
      const documents = Snapshot.make([{ defaultValue: {}, decode: (json) => Result.succeed(json) }])
      const value = inForce(whole(documents, { 0: row(1, { list: [1] }) }).state, 0) as { readonly list: Array<number> }
      assert.throws(() => value.list.push(2))
    })
  })

  describe("9. a write of ours that cannot be placed disowns what was read before its answer (G3)", () => {
    const since = Snapshot.begin(empty, 1)
    const absent = whole(empty, {}).state
    const underWay = Snapshot.begin(absent, 2)

    it("of a row: a whole read that began before does not count, one that began after does", () => {
      const { inconclusive, state } = Snapshot.applyRows(absent, [{ slot: a, row: row(7, 70) }], since)
      assert.deepStrictEqual([inconclusive, Snapshot.isDisowned(state)], [true, true])
      const older = Snapshot.applyDiff(state, [], underWay)
      assert.deepStrictEqual([older.inconclusive, Snapshot.isDisowned(older.state)], [true, true])
      const later = whole(state, { [a]: row(7, 70) })
      assert.deepStrictEqual([later.inconclusive, Snapshot.isDisowned(later.state)], [false, false])
      assert.strictEqual(inForce(later.state, a), 70)
    })

    it("of a deletion that found nothing, and of a change that no row tells of any more", () => {
      const written = wrote(loaded, a, row(9, 90), Snapshot.begin(loaded, 1)).state
      const deleted = Snapshot.applyDeletion(written, a, undefined, Snapshot.begin(loaded, 1))
      assert.deepStrictEqual([deleted.inconclusive, Snapshot.isDisowned(deleted.state)], [true, true])
      assert.isTrue(Snapshot.isDisowned(Snapshot.applyUnseen(loaded).state))
    })

    it("but a read of one key that cannot be placed disowns nothing", () => {
      const read = Snapshot.applyRow(absent, a, row(7, 70), since)
      assert.deepStrictEqual([read.inconclusive, Snapshot.isDisowned(read.state)], [true, false])
    })
  })

  describe("confirmation (G4)", () => {
    it("a whole read confirms every key when it began, and time never runs backwards", () => {
      const later = whole(loaded, {}, Snapshot.begin(loaded, 100)).state
      const overtaken = whole(later, {}, Snapshot.begin(later, 50)).state
      assert.deepStrictEqual([Snapshot.confirmedAt(later, b), Snapshot.confirmedAt(overtaken, b)], [100, 100])
    })

    it("a read of one key confirms that key only", () => {
      const state = Snapshot.applyRow(loaded, a, row(5, 50), Snapshot.begin(loaded, 100)).state
      assert.deepStrictEqual([Snapshot.confirmedAt(state, a), Snapshot.confirmedAt(state, b)], [100, 0])
    })
  })
})
