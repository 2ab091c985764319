/** Which rows the pure core publishes and which it rejects: invariants 4 and 5 in the header of `Snapshot.ts`. */
import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import { ConfigKey } from "effect-systemplane"
import * as ReaderOwned from "../../src/schema/ReaderOwned.ts"
import * as Snapshot from "../../src/schema/Snapshot.ts"
import * as SnapshotRecall from "../../src/schema/SnapshotRecall.ts"
import {
  a,
  absent,
  assertOutcome,
  b,
  bad,
  empty,
  frozen,
  keyFor,
  loaded,
  quiet,
  row,
  shows
} from "../support/SnapshotCases.ts"
import { at, whole, wrote } from "../support/TestAnswers.ts"

describe("invariant 4: the same row publishes nothing", () => {
  it("G3: the echo of our own write publishes nothing, and confirms the key", () => {
    const outcome = Snapshot.applyRow(loaded, a, row(5), at(loaded, 9))
    assertOutcome(outcome, quiet)
    assert.strictEqual(Snapshot.confirmedAt(outcome.state, a), 9)
  })

  it("another value at the same revision is published", () => {
    const outcome = whole(loaded, { [a]: row(5, "other") })
    assert.lengthOf(outcome.published, 1)
    assert.deepStrictEqual(shows(outcome.state, a), ["other", 5])
  })

  it("the same value at a new revision is published once more", () => {
    const outcome = whole(loaded, { [a]: row(7, "v5") })
    assert.deepStrictEqual([outcome.published.length, shows(outcome.state, a)], [1, ["v5", 7]])
  })

  it("the same row publishes nothing, whatever happened since the read began", () => {
    const since = at(loaded)
    const written = frozen(wrote(loaded, a, row(8), since))
    assertOutcome(whole(written, { [a]: row(8) }, since), quiet)
  })

  it("another author alone publishes nothing, and keeps the very object in force", () => {
    const document = frozen(whole(empty, { [a]: row(7, { list: [1] }) }))
    const signed = wrote(document, a, row(7, { list: [1] }, "else"), at(document))
    assertOutcome(signed, quiet)
    assert.strictEqual(signed.state.slots[a]!.value, document.slots[a]!.value)
    assert.strictEqual(signed.state.slots[a]!.inForce?.updatedBy, "else")
  })

  it("a value that is in force already is not decoded again", () => {
    let decoded = 0
    const counting = Snapshot.make([
      keyFor(0, () => {
        decoded++
      })
    ])
    const state = frozen(whole(counting, { [a]: row(7, 1) }))
    whole(state, { [a]: row(7, 1, "else") })
    whole(state, { [a]: row(8, 1) })
    assert.strictEqual(decoded, 1)
  })

  it("another author or value at the same revision is inconclusive if it may be the older one", () => {
    const since = at(loaded)
    const signed = frozen(wrote(loaded, a, row(5, "v5", "else"), since))
    for (const outcome of [whole(signed, { [a]: row(5) }, since), whole(signed, { [a]: row(5, "other") }, since)]) {
      assertOutcome(outcome, { inconclusive: true })
      assert.deepStrictEqual(outcome.state.slots, signed.slots)
    }
  })
})

describe("invariant 5: a row that does not decode never comes into force", () => {
  it("G6: a row that does not decode leaves the last valid value, and is reported without its value", () => {
    const outcome = whole(loaded, { [a]: row(8, bad) })
    assertOutcome(outcome, { rejected: [{ slot: a, revision: 8, reason: "it is bad" }] })
    assert.deepStrictEqual(shows(outcome.state, a), ["v5", 5])
  })

  it("a row that does not decode is followed by a valid one, or by the default once it is deleted", () => {
    const seen = frozen(whole(loaded, { [a]: row(8, bad) }))
    assert.deepStrictEqual(shows(whole(seen, { [a]: row(9) }).state, a), ["v9", 9])
    assert.deepStrictEqual(shows(whole(seen, { [a]: undefined }).state, a), absent)
  })

  it("G6: a bad row holds up no other row of the same read, and each bad row is reported", () => {
    const outcome = whole(empty, { [a]: row(5, bad), [b]: row(6) })
    assert.deepStrictEqual([shows(outcome.state, a), shows(outcome.state, b)], [absent, ["v6", 6]])
    assert.deepStrictEqual(
      whole(empty, { [a]: row(5, bad), [b]: row(6, bad) }).rejected.map(({ revision, slot }) => [slot, revision]),
      [
        [a, 5],
        [b, 6]
      ]
    )
  })

  it("G6: a bad row is reported once, also if a read that began before sees it too", () => {
    const since = at(loaded)
    const rejected = frozen(whole(loaded, { [a]: row(9, bad) }, since))
    assertOutcome(Snapshot.applyRow(rejected, a, row(9, bad), since), quiet)
    assertOutcome(whole(rejected, { [a]: row(9, bad) }, since), quiet)
  })

  it("G6: another bad row after a bad one is reported too", () => {
    const rejected = frozen(whole(loaded, { [a]: row(8, bad) }))
    assertOutcome(whole(rejected, { [a]: row(9, bad) }), {
      rejected: [{ slot: a, revision: 9, reason: "it is bad" }]
    })
  })

  it("the value in force at a new revision, after a bad row, publishes that revision", () => {
    const rejected = frozen(whole(loaded, { [a]: row(8, bad) }))
    const outcome = whole(rejected, { [a]: row(9, "v5") })
    assert.deepStrictEqual([shows(outcome.state, a), outcome.published.length], [["v5", 9], 1])
  })

  it("the deletion of a bad row publishes nothing if the default was in force all the time", () => {
    const rejected = frozen(whole(empty, { [a]: row(8, bad) }))
    assertOutcome(whole(rejected, { [a]: undefined }), quiet)
  })

  it("an inconclusive answer reports no bad row", () => {
    const since = at(loaded)
    const gone = frozen(whole(loaded, { [b]: undefined }, since))
    const rows = [
      { slot: a, row: row(8, bad) },
      { slot: b, row: row(9) }
    ]
    assertOutcome(Snapshot.applyRows(gone, rows, since), { inconclusive: true })
  })

  it("G6: a property of any name is one of the document: what Effect knows its own data by runs nothing, and is frozen", () => {
    const marks = [
      "Equal",
      "Hash",
      "Option",
      "Result",
      "Duration",
      "BigDecimal",
      "DateTime",
      "Chunk",
      "HashMap",
      "Redacted"
    ]
    for (const name of [...marks.map((mark) => `~effect/${mark}`), "then", "constructor", "toJSON"]) {
      const document = () => ({ [name]: { n: 1 }, list: [{ [name]: name }] })
      const state = Snapshot.make([keyFor("default"), keyFor("default")])
      const first = whole(state, { [a]: row(5, document()), [b]: row(6, { n: 1 }) })
      // The same value at another revision, another value, and one of another kind.
      const again = whole(first.state, { [a]: row(7, document()), [b]: row(8, document()) })
      const other = whole(again.state, { [a]: row(9, { ...document(), n: 2 }), [b]: row(10, 1) })
      assert.deepStrictEqual([first.rejected, again.rejected, other.rejected], [[], [], []], name)
      assert.deepStrictEqual(
        [shows(again.state, a), shows(again.state, b)],
        [
          [document(), 7],
          [document(), 8]
        ]
      )
      assert.deepStrictEqual(
        [shows(other.state, a), shows(other.state, b)],
        [
          [{ ...document(), n: 2 }, 9],
          [1, 10]
        ]
      )
      for (const value of [
        again.state.slots[a]!.value as any,
        ReaderOwned.holdDefault(document(), keyFor(0) as any) as any
      ]) {
        assert.isTrue(Object.isFrozen(value) && Object.isFrozen(value[name]) && Object.isFrozen(value.list[0]), name)
      }
    }
  })
})

describe("what the history recalls", () => {
  const rejected = frozen(whole(loaded, { [a]: row(9, bad) }))
  const asked = SnapshotRecall.forgotten(rejected)
  const recall = (state: Snapshot.State, last: SnapshotRecall.Recalled["last"]) =>
    SnapshotRecall.applyRecalled(
      state,
      asked.map((each) => ({ ...each, last }))
    )

  it("G6: the history is asked once for each rejected row, and its value replaces only an older one", () => {
    assert.deepStrictEqual(asked, [{ slot: a, row: row(9, bad) }])
    const newer = recall(rejected, { row: row(7) })
    assert.deepInclude(newer.state.slots[a]!, { inForce: row(7), seen: row(9, bad), recalled: true })
    assert.deepStrictEqual(
      newer.published.map(({ slot }) => slot),
      [a]
    )
    assert.deepStrictEqual(SnapshotRecall.forgotten(newer.state), [])
    for (const last of [{ row: row(4) }, { row: row(7, bad) }, { deleted: 4 }, undefined]) {
      const { published, state } = recall(rejected, last)
      assert.deepStrictEqual([published, state.slots[a]!.inForce], [[], row(5)])
      assert.deepStrictEqual(SnapshotRecall.forgotten(state), [])
    }
    const removed = recall(rejected, { deleted: 5 })
    assert.isUndefined(removed.state.slots[a]!.inForce)
    assert.deepStrictEqual(
      removed.published.map(({ slot }) => slot),
      [a]
    )
  })

  it("G5: a default that a removal put in force is each reader's own", () => {
    const key = ConfigKey.make("n", "k", { schema: Schema.DateFromString, defaultValue: new Date(0) })
    const stored = frozen(whole(Snapshot.make([key]), { 0: row(5, new Date(5).toJSON()) }))
    const rejected = frozen(whole(stored, { 0: row(9, bad) }))
    const [asked] = SnapshotRecall.forgotten(rejected)
    const { value, inForce } = SnapshotRecall.applyRecalled(rejected, [{ ...asked!, last: { deleted: 5 } }]).state
      .slots[0]!
    assert.isUndefined(inForce)
    const [mine, other] = [ReaderOwned.handOut<Date>(value), ReaderOwned.handOut<Date>(value)]
    mine.setTime(7)
    assert.deepStrictEqual(other, new Date(0))
  })

  it("G8: a value that the history has never follows its own deletion, which nothing recorded", () => {
    const gone = frozen(whole(loaded, { [a]: undefined }))
    const written = frozen(whole(gone, { [a]: row(9, bad) }))
    assert.deepStrictEqual([shows(recall(written, { row: row(5) }).state, a), shows(written, a)], [absent, absent])
    assert.deepStrictEqual(shows(recall(written, { row: row(6) }).state, a), ["v6", 6])
    const rewritten = SnapshotRecall.applyRecalled(frozen(whole(written, { [a]: row(10, bad) })), [
      { slot: a, row: row(10, bad), last: { row: row(5) } }
    ])
    assert.deepStrictEqual(shows(rewritten.state, a), absent)
    // A process that has never seen the row takes what the history has.
    const first = frozen(whole(empty, { [a]: row(9, bad) }))
    assert.deepStrictEqual(shows(recall(first, { row: row(5) }).state, a), ["v5", 5])
  })

  it("G6: a recalled value says nothing of a row that was replaced meanwhile, and goes with the next row that decodes", () => {
    const mended = frozen(whole(rejected, { [a]: row(10) }))
    assert.deepStrictEqual(recall(mended, { row: row(7) }).state.slots, mended.slots)
    assert.deepStrictEqual(SnapshotRecall.forgotten(mended), [])
    const worse = frozen(whole(rejected, { [a]: row(10, bad) }))
    assert.deepStrictEqual(SnapshotRecall.forgotten(recall(worse, { row: row(7) }).state), [
      { slot: a, row: row(10, bad) }
    ])
    const again = frozen(recall(rejected, { row: row(7) }))
    assert.strictEqual(whole(again, { [a]: row(10, bad) }).state.slots[a]!.recalled, true)
    assert.isUndefined(whole(again, { [a]: row(11) }).state.slots[a]!.recalled)
  })
})

describe("fingerprints", () => {
  it("the fingerprints are those of the last rows seen, bad ones too", () => {
    const state = frozen(whole(loaded, { [a]: row(9, bad), [b]: undefined }))
    assert.deepStrictEqual(Snapshot.fingerprints(empty), [undefined, undefined])
    assert.deepStrictEqual(Snapshot.fingerprints(loaded), [row(5).fingerprint, row(6).fingerprint])
    assert.deepStrictEqual(Snapshot.fingerprints(state), [row(9, bad).fingerprint, undefined])
  })
})
