/** Revisions and epochs of the pure core: invariants 1, 2 and 6 in the header of `Snapshot.ts`. */
import { assert, describe, it } from "@effect/vitest"
import * as Snapshot from "../../src/schema/Snapshot.ts"
import * as SnapshotSlot from "../../src/schema/SnapshotSlot.ts"
import { a, absent, assertOutcome, b, bad, empty, frozen, loaded, quiet, row, shows } from "../support/SnapshotCases.ts"
import { at, whole, wrote } from "../support/TestAnswers.ts"

describe("a snapshot of which nothing was read", () => {
  it("a snapshot of which nothing was read has the defaults in force, at revision 0, and is not loaded", () => {
    assert.deepStrictEqual([shows(empty, a), shows(empty, b), empty.loaded], [absent, absent, false])
  })
})

describe("invariant 1: revisions of a slot only grow", () => {
  it("G2: a higher revision is published", () => {
    const outcome = wrote(loaded, a, row(7), at(loaded, 1))
    assert.deepStrictEqual(shows(outcome.state, a), ["v7", 7])
    assert.deepStrictEqual(
      outcome.published.map(({ after, before, slot }) => [slot, before.value, after.value]),
      [[a, "v5", "v7"]]
    )
  })

  it("G2: a lower revision that was read before the slot was published is dropped", () => {
    const since = at(loaded)
    const newer = frozen(wrote(loaded, a, row(7), since))
    const outcome = Snapshot.applyRow(newer, a, row(5), since)
    assertOutcome(outcome, quiet)
    assert.deepStrictEqual(shows(outcome.state, a), ["v7", 7])
  })

  it("G2: a higher revision is taken even if it was read before the slot was published", () => {
    const since = at(loaded)
    const newer = frozen(wrote(loaded, a, row(7), since))
    assert.deepStrictEqual(shows(wrote(newer, a, row(8), since).state, a), ["v8", 8])
  })

  it("G2: a whole read drops an older row, and takes a newer one beside it", () => {
    const since = at(loaded)
    const newer = frozen(wrote(loaded, a, row(9), since))
    const outcome = whole(newer, { [a]: row(7), [b]: row(8) }, since)
    assertOutcome(outcome, { published: [{ slot: b, before: newer.slots[b]!, after: outcome.state.slots[b]! }] })
    assert.deepStrictEqual(
      [shows(outcome.state, a), shows(outcome.state, b)],
      [
        ["v9", 9],
        ["v8", 8]
      ]
    )
  })

  it("G2: an older valid row does not come back below one that did not decode", () => {
    const since = at(loaded)
    const rejected = frozen(wrote(loaded, a, row(9, bad), since))
    const outcome = wrote(rejected, a, row(7), since)
    assertOutcome(outcome, quiet)
    assert.deepStrictEqual(shows(outcome.state, a), ["v5", 5])
  })

  it("the revisions of another key say nothing about a slot", () => {
    const outcome = wrote(frozen(whole(loaded, { [b]: row(90) })), a, row(7), at(loaded))
    assert.deepStrictEqual(shows(outcome.state, a), ["v7", 7])
  })
})

describe("invariant 2: a table that went back begins a new epoch", () => {
  it("G1: a read of one key that finds a lower revision reports it, and changes nothing", () => {
    const outcome = Snapshot.applyRow(loaded, a, row(3), at(loaded))
    assertOutcome(outcome, { regressed: true })
    assert.deepStrictEqual(outcome.state.slots, loaded.slots)
  })

  it("G1: a whole read that finds a lower revision begins a new epoch, and is taken as it is", () => {
    const outcome = whole(loaded, { [a]: row(3), [b]: undefined })
    assert.deepStrictEqual([outcome.state.epoch, outcome.regressed, outcome.inconclusive], [1, false, false])
    assert.deepStrictEqual([shows(outcome.state, a), shows(outcome.state, b)], [["v3", 3], absent])
  })

  it("G1: a deleted key that comes back below its highest revision begins a new epoch", () => {
    const deleted = frozen(whole(loaded, { [a]: undefined }))
    const outcome = whole(deleted, { [a]: row(4) })
    assert.deepStrictEqual([outcome.state.epoch, shows(outcome.state, a)], [1, ["v4", 4]])
  })

  const earlier = { [a]: row(3), [b]: row(2) }

  it("G1: an answer that is merely old begins no epoch", () => {
    const since = at(loaded)
    const newer = frozen(whole(loaded, { [a]: row(8), [b]: row(9) }, since))
    assert.strictEqual(whole(newer, earlier, since).state.epoch, 0)
    assertOutcome(whole(newer, earlier, since), quiet)
  })

  it("G1: a table of which several keys went back is taken in one step, and begins one epoch", () => {
    const outcome = whole(loaded, earlier)
    assert.deepStrictEqual(outcome.state.slots.map(SnapshotSlot.revision), [3, 2])
    assert.deepStrictEqual(
      outcome.published.map(({ slot }) => slot),
      [a, b]
    )
    assert.deepStrictEqual([outcome.state.epoch, outcome.state.version], [1, loaded.version + 1])
  })

  it("G1: a table may go back a second time", () => {
    const once = frozen(whole(loaded, earlier))
    const twice = frozen(whole(once, { [a]: row(1) }))
    assert.deepStrictEqual([twice.epoch, shows(twice, a)], [2, ["v1", 1]])
  })

  it("G6: a value stays in force if the row that the table went back to is bad, until the next valid one", () => {
    const back = whole(loaded, { [a]: row(3, bad) })
    assertOutcome(back, { rejected: [{ slot: a, revision: 3, reason: "it is bad" }] })
    assert.deepStrictEqual(shows(back.state, a), ["v5", 5])
    assert.deepStrictEqual(shows(whole(frozen(back), { [a]: row(4) }).state, a), ["v4", 4])
  })

  it("G1: after the table went back, a row above the earlier revision is published", () => {
    const back = frozen(whole(loaded, earlier))
    assert.deepStrictEqual(shows(wrote(back, a, row(4), at(back)).state, a), ["v4", 4])
  })

  it("G1: the answer to a write that finds a lower revision reports it, and changes nothing", () => {
    const outcome = Snapshot.applyRows(
      loaded,
      [
        { slot: a, row: row(4) },
        { slot: b, row: row(7) }
      ],
      at(loaded, 9)
    )
    assertOutcome(outcome, { regressed: true })
    assert.strictEqual(outcome.state.slots, loaded.slots)
  })

  it("G1: a new epoch keeps what was published while its read was under way, until the next read", () => {
    const since = at(loaded)
    const written = frozen(wrote(loaded, b, row(9), since))
    const back = frozen(whole(written, { [a]: row(3), [b]: row(2) }, since))
    assert.deepStrictEqual([back.epoch, shows(back, a), shows(back, b)], [1, ["v3", 3], ["v9", 9]])
    assert.deepStrictEqual(shows(whole(back, { [b]: row(2) }).state, b), ["v2", 2])
  })

  it("rows that are merely gone begin no epoch", () => {
    const outcome = whole(loaded, { [a]: undefined, [b]: undefined })
    assert.deepStrictEqual([outcome.state.epoch, shows(outcome.state, a)], [0, absent])
  })
})

describe("invariant 6: a new epoch disowns the old one's reads", () => {
  const since = at(loaded, 50)
  const back = frozen(whole(loaded, { [a]: row(3) }))

  it("G1: a whole read that began before the epoch is inconclusive, and changes nothing", () => {
    const outcome = whole(back, { [a]: row(8), [b]: undefined }, since)
    assertOutcome(outcome, { inconclusive: true })
    assert.deepStrictEqual(outcome.state.slots, back.slots)
    assert.strictEqual(outcome.state.epoch, back.epoch)
  })

  it("G1: a read of one key or a deletion of ours that began before the epoch confirms nothing", () => {
    for (const outcome of [
      Snapshot.applyRow(back, a, row(3), since),
      Snapshot.applyRow(back, a, undefined, since),
      Snapshot.applyDeletion(back, a, 8, since),
      Snapshot.applyDeletion(back, a, undefined, since)
    ]) {
      assertOutcome(outcome, { inconclusive: true })
      assert.deepStrictEqual({ ...outcome.state, version: back.version, disownedVersion: 0 }, back)
    }
  })

  it("a read that began in the new epoch counts", () => {
    assert.deepStrictEqual(shows(whole(back, { [a]: row(8) }, at(back)).state, a), ["v8", 8])
  })
})
