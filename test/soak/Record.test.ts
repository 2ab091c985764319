import { assert, describe, it } from "@effect/vitest"
import type { JournalRow } from "../../soak/checks/Checker.ts"
import * as Record from "../../soak/checks/Record.ts"

const change = (transaction: string, revision: number, more: Partial<JournalRow> = {}): JournalRow => ({
  key: "limits/plain",
  transaction,
  revision,
  stamp: `stamp-${revision}`,
  valid: true,
  committed: 0,
  announced: true,
  by: "foreign",
  operation: revision === 0 ? "delete" : "update",
  ...more
})

const record = (transaction: string, revision: number, previous: number | null): Record.RecordRow => ({
  key: "limits/plain",
  operation: previous === null ? "create" : "update",
  revision,
  stamp: `stamp-${revision}`,
  previousRevision: previous,
  previousStamp: previous === null ? null : `stamp-${previous}`,
  changeId: `change-${transaction}`,
  by: "foreign",
  transaction
})

const row = (revision: number): Record.Row => ({ key: "limits/plain", revision, stamp: `stamp-${revision}` })

const right: Record.Kept = {
  journal: [change("1", 1, { operation: "insert" }), change("2", 2), change("3", 3)],
  records: [record("1", 1, null), record("2", 2, 1), record("3", 3, 2)],
  rows: [row(3)]
}

const problems = (kept: Partial<Record.Kept>) => Record.problemsOf({ ...right, ...kept }).map(({ what }) => what)

describe("the soak's check of the history", () => {
  it("the soak's check of the history finds nothing wrong if each change is there once", () =>
    assert.deepStrictEqual(problems({}), []))

  it("the soak's check of the history asks for no record of a seed, nor of what held the place of a missing row while a change was fenced", () => {
    const mark = "systemplane.manager:0123456789abcdef"
    for (const stamp of ["default", "null"]) {
      const journal = [change("4", 4, { operation: "insert", stamp, by: mark, key: "limits/other" })]
      assert.deepStrictEqual(problems({ journal: [...right.journal, ...journal] }), [])
    }
    const claimed = [change("4", 4, { operation: "insert", by: mark, key: "limits/other" })]
    assert.deepStrictEqual(problems({ journal: [...right.journal, ...claimed] }), [
      "transaction 4 wrote revision 4 of limits/other: 1 times, with 0 records"
    ])
  })

  it("the soak's check of the history finds a record that is missing, in the middle and at the end", () => {
    assert.deepStrictEqual(problems({ records: right.records.filter((_, i) => i !== 1) }), [
      "transaction 2 wrote revision 2 of limits/plain: 1 times, with 0 records",
      "record change-3 goes on from stamp-2 at revision 2; the one before it made stamp-1 at revision 1"
    ])
    assert.deepStrictEqual(problems({ records: right.records.slice(0, 2) }), [
      "transaction 3 wrote revision 3 of limits/plain: 1 times, with 0 records",
      "the history replayed makes stamp-2 at revision 2; the table holds stamp-3 at revision 3"
    ])
  })

  it("the soak's check of the history finds a record that is there twice, and one of a change that was not committed", () => {
    assert.include(
      problems({ records: right.records.toSpliced(1, 0, record("2", 2, 1)) }),
      "transaction 2 wrote revision 2 of limits/plain: 1 times, with 2 records"
    )
    assert.include(
      problems({ records: right.records.toSpliced(2, 0, record("4", 4, 2)) }),
      "transaction 4 wrote revision 4 of limits/plain: 0 times, with 1 records"
    )
  })

  it("the soak's check of the history finds a change id that two transactions share, and a transaction that has two", () => {
    const [first, second, third] = right.records
    assert.deepStrictEqual(problems({ records: [first!, second!, { ...third!, changeId: "change-2" }] }), [
      "changeId change-2 has 2 values of transaction"
    ])
    const together = change("2", 1, { key: "limits/other", operation: "insert", stamp: "stamp-1" })
    assert.deepStrictEqual(
      problems({
        journal: [...right.journal, together],
        records: [...right.records, { ...record("2", 1, null), key: "limits/other", changeId: "change-x" }],
        rows: [row(3), { ...row(1), key: "limits/other" }]
      }),
      ["transaction 2 has 2 values of changeId"]
    )
  })

  it("the soak's check of the history asks for no record of a seed, of a touch, and of what was written in silence before a later write", () => {
    const seed = { operation: "insert", stamp: "default", by: "systemplane.manager:0123456789abcdef" } as const
    const touch = change("2b", 2, { by: "foreign." })
    const journal = [change("0", 1, seed), change("1", 2), touch, change("2", 9, { announced: false }), change("3", 10)]
    assert.deepStrictEqual(
      problems({ journal, records: [record("1", 2, null), record("3", 10, 9)], rows: [row(10)] }),
      []
    )
  })

  it("the soak's check of the history takes the record of a verification for what closes a gap", () => {
    const journal = [...right.journal, change("4", 4, { announced: false })]
    assert.lengthOf(problems({ journal, rows: [row(4)] }), 1)
    const closing = { ...record("5", 4, 3), by: "unrecorded" }
    assert.deepStrictEqual(problems({ journal, records: [...right.records, closing], rows: [row(4)] }), [])
  })
})
