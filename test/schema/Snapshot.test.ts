/**
 * The pure core where two things happen at once: the cases that `SnapshotInvariants.test.ts` leaves out. The numbers are those of the invariants
 * in the header of `Snapshot.ts`.
 */
import { assert, describe, it } from "@effect/vitest"
import { Result } from "effect"
import type { EntryRow } from "../../src/schema/EntryRow.ts"
import * as Snapshot from "../../src/schema/Snapshot.ts"
import { deepFreeze } from "../support/DeepFreeze.ts"
import { at, whole, wrote } from "../support/TestAnswers.ts"

const bad = "bad"

const keyFor = (defaultValue: unknown, onDecode = () => {}): Snapshot.SnapshotKey => ({
  defaultValue,
  decode: (json) => {
    onDecode()
    return json === bad ? Result.fail("it is bad") : Result.succeed(json)
  }
})

const key = keyFor("default")

/** A row is another one where its revision, its value or its author differ. */
const row = (revision: number, value: unknown = `v${revision}`, updatedBy = ""): EntryRow => ({
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

const [a, b] = [0, 1] as const

/** No state may ever be changed: every one is frozen before it is used. */
const frozen = (outcome: Snapshot.Outcome): Snapshot.State => deepFreeze(outcome.state)

/** Neither read has anything to say against the other. */
const quiet = { published: [], rejected: [], inconclusive: false, regressed: false }

const assertOutcome = (outcome: Snapshot.Outcome, expected: Partial<Omit<Snapshot.Outcome, "state">>) => {
  const { state: _, ...rest } = outcome
  assert.deepStrictEqual(rest, { ...quiet, ...expected })
}

/** What is in force of a slot. */
const shows = (state: Snapshot.State, slot: number) => [state.slots[slot]!.value, Snapshot.revision(state.slots[slot]!)]

const empty = deepFreeze(Snapshot.make([key, key]))
const loaded = frozen(whole(empty, { [a]: row(5), [b]: row(6) }))
const absent = ["default", 0]

describe("1. revisions of a slot only grow (G2)", () => {
  it("also in whole reads, where an older row is dropped and a newer one beside it taken", () => {
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

  it("also below a row that did not decode: an older valid one does not come back", () => {
    const since = at(loaded)
    const rejected = frozen(wrote(loaded, a, row(9, bad), since))
    const outcome = wrote(rejected, a, row(7), since)
    assertOutcome(outcome, quiet)
    assert.deepStrictEqual(shows(outcome.state, a), ["v5", 5])
  })

  it("of each slot on its own: the revisions of another key say nothing", () => {
    const outcome = wrote(frozen(whole(loaded, { [b]: row(90) })), a, row(7), at(loaded))
    assert.deepStrictEqual(shows(outcome.state, a), ["v7", 7])
  })
})

describe("2. a table that went back (G1)", () => {
  const earlier = { [a]: row(3), [b]: row(2) }

  it("is not found out by what is merely old: the epoch stays", () => {
    const since = at(loaded)
    const newer = frozen(whole(loaded, { [a]: row(8), [b]: row(9) }, since))
    assert.strictEqual(whole(newer, earlier, since).state.epoch, 0)
    assertOutcome(whole(newer, earlier, since), quiet)
  })

  it("is taken in one step, and counts once however many keys went back", () => {
    const outcome = whole(loaded, earlier)
    assert.deepStrictEqual(outcome.state.slots.map(Snapshot.revision), [3, 2])
    assert.deepStrictEqual(
      outcome.published.map(({ slot }) => slot),
      [a, b]
    )
    assert.deepStrictEqual([outcome.state.epoch, outcome.state.version], [1, loaded.version + 1])
  })

  it("may go back inconclusive", () => {
    const once = frozen(whole(loaded, earlier))
    const twice = frozen(whole(once, { [a]: row(1) }))
    assert.deepStrictEqual([twice.epoch, shows(twice, a)], [2, ["v1", 1]])
  })

  it("leaves a value in force where the earlier row is bad, and takes the next valid one", () => {
    const back = whole(loaded, { [a]: row(3, bad) })
    assertOutcome(back, { rejected: [{ slot: a, revision: 3, reason: "it is bad" }] })
    assert.deepStrictEqual(shows(back.state, a), ["v5", 5])
    assert.deepStrictEqual(shows(whole(frozen(back), { [a]: row(4) }).state, a), ["v4", 4])
  })

  it("goes on from there: what is above the earlier revision is news", () => {
    const back = frozen(whole(loaded, earlier))
    assert.deepStrictEqual(shows(wrote(back, a, row(4), at(back)).state, a), ["v4", 4])
  })

  it("is reported by the answer to a write too, which nothing is learned from", () => {
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

  it("does not take back what was published while the read was under way: that is settled by the next", () => {
    const since = at(loaded)
    const written = frozen(wrote(loaded, b, row(9), since))
    const back = frozen(whole(written, { [a]: row(3), [b]: row(2) }, since))
    assert.deepStrictEqual([back.epoch, shows(back, a), shows(back, b)], [1, ["v3", 3], ["v9", 9]])
    assert.deepStrictEqual(shows(whole(back, { [b]: row(2) }).state, b), ["v2", 2])
  })

  it("keeps the epoch where it merely lost rows", () => {
    const outcome = whole(loaded, { [a]: undefined, [b]: undefined })
    assert.deepStrictEqual([outcome.state.epoch, shows(outcome.state, a)], [0, absent])
  })
})

describe("3. a deletion is fenced", () => {
  /** Everything is read, and the answer is under way while we delete. */
  const since = at(empty)

  for (const [what, deleted] of [
    ["a row that nobody here had seen", 5],
    ["nothing, because a stranger was faster", undefined]
  ] as const) {
    it(`G3 of our own keeps a read under way from bringing in ${what}`, () => {
      const gone = frozen(Snapshot.applyDeletion(empty, a, deleted, since))
      for (const outcome of [whole(gone, { [a]: row(5) }, since), Snapshot.applyRow(gone, a, row(5), since)]) {
        assert.deepStrictEqual([shows(outcome.state, a), outcome.state.epoch], [absent, 0])
        assertOutcome(outcome, { inconclusive: deleted === undefined })
      }
    })
  }

  it("of our own does not undo a row that was created after it, and seen before its answer", () => {
    const since = at(loaded)
    const created = frozen(whole(loaded, { [a]: row(9) }, since))
    assertOutcome(Snapshot.applyDeletion(created, a, 5, since), { inconclusive: true })
    assert.deepStrictEqual(shows(Snapshot.applyDeletion(created, a, 5, since).state, a), ["v9", 9])
  })

  it("that everything was read after keeps a read that began before from bringing in a row, though nobody saw either", () => {
    const since = at(empty)
    const read = frozen(whole(empty, {}))
    assertOutcome(Snapshot.applyRow(read, a, row(5), since), { inconclusive: true })
    assert.deepStrictEqual(shows(wrote(read, a, row(5), at(read)).state, a), ["v5", 5])
  })

  it("of our own, of a row that nobody here had seen, does not hide a newer one", () => {
    const gone = frozen(Snapshot.applyDeletion(empty, a, 5, since))
    assertOutcome(whole(gone, { [a]: row(8) }, since), { inconclusive: true })
    assert.deepStrictEqual(shows(whole(gone, { [a]: row(8) }).state, a), ["v8", 8])
  })

  it("G4 leaves a newer row that a read could not place unconfirmed, and everything with it", () => {
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

  it("of our own publishes the default once, and a second one nothing", () => {
    const first = Snapshot.applyDeletion(loaded, a, 5, at(loaded))
    assert.deepStrictEqual(
      first.published.map(({ after, before, slot }) => [slot, before.value, after.value]),
      [[a, "v5", "default"]]
    )
    const gone = frozen(first)
    assertOutcome(Snapshot.applyDeletion(gone, a, undefined, at(gone)), quiet)
  })

  it("of our own confirms the key", () => {
    const gone = Snapshot.applyDeletion(loaded, a, 5, at(loaded, 7)).state
    assert.deepStrictEqual([Snapshot.confirmedAt(gone, a), Snapshot.confirmedAt(gone, b)], [7, 0])
  })

  it("of our own, below what was seen, says as little of the other keys as a read of one: everything is read", () => {
    const outcome = Snapshot.applyDeletion(loaded, a, 3, at(loaded))
    assertOutcome(outcome, { inconclusive: true })
    assert.strictEqual(outcome.state.slots, loaded.slots)
  })

  it("of a bad row puts the default in force, and an older row stays out", () => {
    const since = at(loaded)
    const gone = frozen(Snapshot.applyDeletion(frozen(whole(loaded, { [a]: row(9, bad) }, since)), a, 9, since))
    assert.deepStrictEqual(shows(gone, a), absent)
    assertOutcome(Snapshot.applyRow(gone, a, row(5), since), quiet)
  })

  it("G2 is the same for whoever learned of it: a read of one key that found none fences as well", () => {
    const none = frozen(whole(empty, {}))
    const since = at(none)
    const gone = frozen(Snapshot.applyRow(none, a, undefined, since))
    assertOutcome(whole(gone, { [a]: row(5) }, since), { inconclusive: true })
    assert.deepStrictEqual(shows(whole(gone, { [a]: row(5) }).state, a), ["v5", 5])
  })

  it("is no news where there was no row, however old the read is", () => {
    const since = at(loaded)
    const gone = frozen(whole(loaded, { [a]: undefined }))
    assertOutcome(Snapshot.applyRow(gone, a, undefined, since), quiet)
  })

  it("is over once the key was created inconclusive: its highestRevision does not hold up what follows", () => {
    const created = frozen(whole(frozen(whole(loaded, { [a]: undefined })), { [a]: row(8) }))
    assert.deepStrictEqual(shows(wrote(created, a, row(9), at(loaded)).state, a), ["v9", 9])
  })
})

describe("4. the same row publishes nothing (G3)", () => {
  it("whatever happened since the read began", () => {
    const since = at(loaded)
    const written = frozen(wrote(loaded, a, row(8), since))
    assertOutcome(whole(written, { [a]: row(8) }, since), quiet)
  })

  it("and keeps the very object in force where only its author changed, though it decodes to another one", () => {
    const document = frozen(whole(empty, { [a]: row(7, { list: [1] }) }))
    const signed = wrote(document, a, row(7, { list: [1] }, "else"), at(document))
    assertOutcome(signed, quiet)
    assert.strictEqual(signed.state.slots[a]!.value, document.slots[a]!.value)
    assert.strictEqual(signed.state.slots[a]!.inForce?.updatedBy, "else")
  })

  it("does not decode a value that is in force already", () => {
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

  it("another author or value at the same revision is asked for inconclusive where it may be the older one", () => {
    const since = at(loaded)
    const signed = frozen(wrote(loaded, a, row(5, "v5", "else"), since))
    for (const outcome of [whole(signed, { [a]: row(5) }, since), whole(signed, { [a]: row(5, "other") }, since)]) {
      assertOutcome(outcome, { inconclusive: true })
      assert.deepStrictEqual(outcome.state.slots, signed.slots)
    }
  })
})

describe("5. a bad row never comes into force (G6)", () => {
  it("holds up no other row of the same read, and each is reported", () => {
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

  it("is reported once also where a read that began before sees it too", () => {
    const since = at(loaded)
    const rejected = frozen(whole(loaded, { [a]: row(9, bad) }, since))
    assertOutcome(Snapshot.applyRow(rejected, a, row(9, bad), since), quiet)
    assertOutcome(whole(rejected, { [a]: row(9, bad) }, since), quiet)
  })

  it("is followed by another bad one, which is reported too", () => {
    const rejected = frozen(whole(loaded, { [a]: row(8, bad) }))
    assertOutcome(whole(rejected, { [a]: row(9, bad) }), {
      rejected: [{ slot: a, revision: 9, reason: "it is bad" }]
    })
  })

  it("followed by the value in force at a new revision publishes that revision", () => {
    const rejected = frozen(whole(loaded, { [a]: row(8, bad) }))
    const outcome = whole(rejected, { [a]: row(9, "v5") })
    assert.deepStrictEqual([shows(outcome.state, a), outcome.published.length], [["v5", 9], 1])
  })

  it("deleted where the default was in force all the while publishes nothing", () => {
    const rejected = frozen(whole(empty, { [a]: row(8, bad) }))
    assertOutcome(whole(rejected, { [a]: undefined }), quiet)
  })

  it("is not reported by an answer that nothing is learned from", () => {
    const since = at(loaded)
    const gone = frozen(whole(loaded, { [b]: undefined }, since))
    const rows = [
      { slot: a, row: row(8, bad) },
      { slot: b, row: row(9) }
    ]
    assertOutcome(Snapshot.applyRows(gone, rows, since), { inconclusive: true })
  })
})

describe("6. a new epoch disowns the old one's reads", () => {
  const since = at(loaded, 50)
  const back = frozen(whole(loaded, { [a]: row(3) }))

  it("of everything: nothing changes, and it is asked for inconclusive", () => {
    const outcome = whole(back, { [a]: row(8), [b]: undefined }, since)
    assertOutcome(outcome, { inconclusive: true })
    assert.deepStrictEqual(outcome.state.slots, back.slots)
    assert.strictEqual(outcome.state.epoch, back.epoch)
  })

  it("of one key, and our own writes: they confirm nothing either", () => {
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

  it("and owns those that began in it", () => {
    assert.deepStrictEqual(shows(whole(back, { [a]: row(8) }, at(back)).state, a), ["v8", 8])
  })
})

describe("7. one read is one step (G9)", () => {
  it("leaves every slot alone that did not differ", () => {
    const outcome = whole(loaded, { [a]: row(8) })
    assert.strictEqual(outcome.state.slots[b], loaded.slots[b])
    assert.notStrictEqual(outcome.state.slots[a], loaded.slots[a])
  })

  it("keeps the slots where nothing differed", () => {
    const outcome = whole(loaded, {}, at(loaded, 9))
    assertOutcome(outcome, quiet)
    assert.strictEqual(outcome.state.slots, loaded.slots)
  })

  it("publishes rows that were written together in one state", () => {
    const outcome = Snapshot.applyRows(
      loaded,
      [
        { slot: b, row: row(9) },
        { slot: a, row: row(8) }
      ],
      at(loaded, 4)
    )
    assert.deepStrictEqual(outcome.state.slots.map(Snapshot.revision), [8, 9])
    assert.deepStrictEqual([Snapshot.confirmedAt(outcome.state, a), Snapshot.confirmedAt(outcome.state, b)], [4, 4])
  })

  it("of nothing is nothing", () => {
    assert.strictEqual(Snapshot.applyRows(loaded, [], at(loaded, 4)).state, loaded)
  })

  it("tells what was before and what is after, as the states have it", () => {
    const outcome = whole(loaded, { [a]: row(8), [b]: undefined })
    for (const { after, before, slot } of outcome.published) {
      assert.strictEqual(before, loaded.slots[slot])
      assert.strictEqual(after, outcome.state.slots[slot])
    }
    assert.lengthOf(outcome.published, 2)
  })

  it("puts nothing in force that could be changed afterwards", () => {
    const { value } = whole(empty, { [a]: row(7, { list: [{ of: 1 }] }) }).state.slots[a]!
    assert.throws(() => Object.assign((value as { list: Array<object> }).list[0]!, { of: 2 }), TypeError)
  })

  describe("of which some cannot be judged", () => {
    /** While everything is read, we delete and somebody creates anew: whether before or after the read, nobody can tell. */
    const asked = at(loaded, 9)
    const gone = frozen(Snapshot.applyDeletion(loaded, a, 5, asked))
    const open = whole(gone, { [a]: row(7), [b]: row(8) }, asked)

    it("publishes nothing of it, and is asked for inconclusive", () => {
      assertOutcome(open, { inconclusive: true })
      assert.strictEqual(open.state, gone)
    })

    it("reports no bad row: the next read does", () => {
      assertOutcome(whole(gone, { [a]: row(7), [b]: row(8, bad) }, asked), { inconclusive: true })
    })

    it("begins no epoch, either", () => {
      const back = whole(gone, { [a]: row(7), [b]: row(2) }, asked)
      assertOutcome(back, { inconclusive: true })
      assert.strictEqual(back.state.epoch, 0)
    })

    it("does not count as loaded", () => {
      const deleted = frozen(Snapshot.applyDeletion(empty, a, 5, at(empty)))
      assert.isFalse(whole(deleted, { [a]: row(7), [b]: row(8) }, at(empty)).state.loaded)
    })
  })

  it("counts what a read does not mention as it was when the read began", () => {
    const none = frozen(whole(empty, {}))
    const asked = at(none)
    const created = frozen(wrote(none, a, row(5), asked))
    // It found no row of `a`: before ours was written, or after somebody deleted it and wrote the other.
    assertOutcome(whole(created, { [b]: row(8) }, asked), { inconclusive: true })
    assert.lengthOf(whole(frozen(wrote(loaded, a, row(9))), { [b]: row(8) }, at(loaded)).published, 1)
  })

  it("loads with the first whole read, and with nothing less", () => {
    assert.isFalse(Snapshot.applyRow(empty, a, row(5), at(empty)).state.loaded)
    assert.isTrue(whole(empty, {}).state.loaded)
  })
})

describe("8. a loaded snapshot is one state of the table, and our writes over it (G9)", () => {
  it("a read of one key publishes nothing, neither a row nor that it is gone: everything is read", () => {
    for (const found of [row(7), row(5, "other"), row(8, bad), undefined]) {
      const outcome = Snapshot.applyRow(loaded, a, found, at(loaded, 9))
      assertOutcome(outcome, { inconclusive: true })
      assert.strictEqual(outcome.state, loaded)
    }
  })

  it("a deletion that found nothing is such a read", () => {
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

    it("one that began after it counts", () => {
      assert.deepStrictEqual(shows(whole(read, { [a]: row(9) }).state, a), ["v9", 9])
    })
  })
})

describe("confirmation (G4)", () => {
  it("of a slot is the later of its own and of everything's", () => {
    const own = frozen(Snapshot.applyRow(loaded, a, row(5), at(loaded, 100)))
    const all = frozen(whole(own, {}, at(own, 60)))
    assert.deepStrictEqual([Snapshot.confirmedAt(all, a), Snapshot.confirmedAt(all, b)], [100, 60])
  })

  it("never runs backwards, whichever read is learned last", () => {
    const later = frozen(Snapshot.applyRow(loaded, a, row(5), at(loaded, 100)))
    assert.strictEqual(Snapshot.applyRow(later, a, row(5), at(later, 40)).state, later)
    const all = frozen(whole(loaded, {}, at(loaded, 100)))
    assert.strictEqual(Snapshot.confirmedAt(whole(all, {}, at(all, 40)).state, b), 100)
  })

  it("is what a bad row does too: it was seen, and the value in force stays", () => {
    assert.strictEqual(Snapshot.confirmedAt(wrote(loaded, a, row(9, bad), at(loaded, 8)).state, a), 8)
  })

  it("is not what an answer does that has to be asked for inconclusive, or that is regressed", () => {
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

describe("fingerprints", () => {
  it("are those of the last rows seen: what a whole read need not return", () => {
    const state = frozen(whole(loaded, { [a]: row(9, bad), [b]: undefined }))
    assert.deepStrictEqual(Snapshot.fingerprints(empty), [undefined, undefined])
    assert.deepStrictEqual(Snapshot.fingerprints(loaded), [row(5).fingerprint, row(6).fingerprint])
    assert.deepStrictEqual(Snapshot.fingerprints(state), [row(9, bad).fingerprint, undefined])
  })
})

describe("what the history recalls", () => {
  const rejected = frozen(whole(loaded, { [a]: row(9, bad) }))
  const asked = Snapshot.forgotten(rejected)
  const recall = (state: Snapshot.State, last: Snapshot.Recalled["last"]) =>
    Snapshot.applyRecalled(
      state,
      asked.map((each) => ({ ...each, last }))
    )

  it("is asked once for each rejected row, and takes the place of an older value alone", () => {
    assert.deepStrictEqual(asked, [{ slot: a, row: row(9, bad) }])
    const newer = recall(rejected, { row: row(7) })
    assert.deepInclude(newer.state.slots[a]!, { inForce: row(7), seen: row(9, bad), recalled: true })
    assert.deepStrictEqual(
      newer.published.map(({ slot }) => slot),
      [a]
    )
    assert.deepStrictEqual(Snapshot.forgotten(newer.state), [])
    for (const last of [{ row: row(4) }, { row: row(7, bad) }, { deleted: 4 }, undefined]) {
      const { published, state } = recall(rejected, last)
      assert.deepStrictEqual([published, state.slots[a]!.inForce], [[], row(5)])
      assert.deepStrictEqual(Snapshot.forgotten(state), [])
    }
    const removed = recall(rejected, { deleted: 5 })
    assert.isUndefined(removed.state.slots[a]!.inForce)
    assert.deepStrictEqual(
      removed.published.map(({ slot }) => slot),
      [a]
    )
  })

  it("says nothing of a row that was replaced meanwhile, and leaves with the next row that decodes", () => {
    const mended = frozen(whole(rejected, { [a]: row(10) }))
    assert.deepStrictEqual(recall(mended, { row: row(7) }).state.slots, mended.slots)
    assert.deepStrictEqual(Snapshot.forgotten(mended), [])
    const worse = frozen(whole(rejected, { [a]: row(10, bad) }))
    assert.deepStrictEqual(Snapshot.forgotten(recall(worse, { row: row(7) }).state), [{ slot: a, row: row(10, bad) }])
    const again = frozen(recall(rejected, { row: row(7) }))
    assert.strictEqual(whole(again, { [a]: row(10, bad) }).state.slots[a]!.recalled, true)
    assert.isUndefined(whole(again, { [a]: row(11) }).state.slots[a]!.recalled)
  })
})
