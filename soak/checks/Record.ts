/**
 * Checks the history of one tenant (G16) against the soak's own journal of the same table.
 *
 * The journal's triggers fire in every mode of a session, for each row; the history's fire once a statement, unless the
 * writer silences them. So each change in the journal needs exactly one record of the same transaction, but for those
 * that were written in silence. Each record must go on from the state before it, the last one of a key must be its row,
 * and the records of a transaction must share one change id that no other transaction has.
 */
import type { JournalRow } from "./Checker.ts"
import { defaultStamp, isSeed } from "./History.ts"

/** A record of the history, or a row of the table. A value is shown by its stamp. */
export interface Row {
  readonly key: string
  readonly revision: number
  readonly stamp: string
}

export interface RecordRow {
  readonly key: string
  readonly operation: "create" | "update" | "delete"
  readonly revision: number
  readonly stamp: string | null
  readonly previousRevision: number | null
  readonly previousStamp: string | null
  readonly changeId: string
  readonly by: string
  readonly transaction: string
}

/** What the database held at one moment, all in order of its ids. */
export interface Kept {
  readonly journal: ReadonlyArray<JournalRow>
  readonly records: ReadonlyArray<RecordRow>
  readonly rows: ReadonlyArray<Row>
}

export interface Problem {
  readonly key: string | undefined
  readonly what: string
}

/** What is wrong with a history; empty if it tells all that happened, once. */
export const problemsOf = (kept: Kept): ReadonlyArray<Problem> => [
  ...countProblems(kept),
  ...chainProblems(kept),
  ...groupProblems(kept)
]

/** Written by a verification, for what was changed in silence. */
const isClosing = ({ by }: RecordRow) => by === "unrecorded"

/** An identical write of a plane leaves a record, though the table does not change. */
const isIdentical = ({ operation, previousRevision, revision }: RecordRow) =>
  operation !== "delete" && previousRevision === revision

const idOf = (transaction: string, key: string, deleted: boolean, revision: number) =>
  `transaction ${transaction} ${deleted ? "deleted" : `wrote revision ${revision} of`} ${key}`

const count = (ids: Iterable<string>) => {
  const counts = new Map<string, number>()
  for (const id of ids) counts.set(id, (counts.get(id) ?? 0) + 1)
  return counts
}

/** The changes that a record is due for. */
const recordable = (journal: ReadonlyArray<JournalRow>): ReadonlyArray<JournalRow> => {
  const last = new Map<string, number>()
  return journal.filter((change) => {
    const touched = change.operation === "update" && last.get(change.key) === change.revision
    last.set(change.key, change.revision)
    const seeded = change.operation === "insert" && isSeed(change)
    return change.announced && !touched && !seeded
  })
}

const countProblems = ({ journal, records }: Kept): ReadonlyArray<Problem> => {
  const due = recordable(journal)
  const changes = count(due.map((row) => idOf(row.transaction, row.key, row.operation === "delete", row.revision)))
  const told = records.filter((record) => !isClosing(record) && !isIdentical(record))
  const recorded = count(told.map((row) => idOf(row.transaction, row.key, row.operation === "delete", row.revision)))
  return [...new Set([...changes.keys(), ...recorded.keys()])].flatMap((id): ReadonlyArray<Problem> => {
    const [happened, known] = [changes.get(id) ?? 0, recorded.get(id) ?? 0]
    return happened === known
      ? []
      : [{ key: id.split(" ").at(-1), what: `${id}: ${happened} times, with ${known} records` }]
  })
}

const show = (revision: number | null, stamp: string | null) =>
  revision === null ? "no row" : `${stamp} at revision ${revision}`

/**
 * The history replayed from empty: what it makes of each key is what its next record, and at last the table, goes on
 * from.
 */
const chainProblems = ({ journal, records, rows }: Kept): ReadonlyArray<Problem> => {
  // What was written in silence is not in the history until a verification closes the gap, or another write goes over
  // it.
  const silent = new Set(
    journal.filter(({ announced }) => !announced).map((row) => `${row.key}/${show(row.revision, row.stamp)}`)
  )
  const silentlyGone = new Set(
    journal.filter(({ announced, operation }) => !announced && operation === "delete").map(({ key }) => key)
  )
  const problems: Array<Problem> = []
  const state = new Map<string, string>()
  for (const record of records) {
    const { key } = record
    const known = state.get(key) ?? show(null, null)
    const before =
      record.operation === "create" ? show(null, null) : show(record.previousRevision, record.previousStamp)
    // A seed is no stored value, and what removes it goes on from it all the same.
    const removesSeed = record.operation === "delete" && record.previousStamp === defaultStamp
    const excused =
      silent.has(`${key}/${before}`) || (before === "no row" && silentlyGone.has(key)) || isClosing(record)
    if (before !== known && !removesSeed && !excused) {
      problems.push({ key, what: `record ${record.changeId} goes on from ${before}; the one before it made ${known}` })
    }
    state.set(key, record.operation === "delete" ? show(null, null) : show(record.revision, record.stamp))
  }
  const table = new Map(rows.map((row) => [row.key, show(row.revision, row.stamp)]))
  for (const key of new Set([...state.keys(), ...table.keys()])) {
    const [replayed, held] = [state.get(key) ?? "no row", table.get(key) ?? "no row"]
    if (replayed !== held)
      problems.push({ key, what: `the history replayed makes ${replayed}; the table holds ${held}` })
  }
  return problems
}

/** One change id a transaction, and one transaction a change id. */
const groupProblems = ({ records }: Kept): ReadonlyArray<Problem> => {
  const told = records.filter((record) => !isClosing(record))
  const split = (by: "transaction" | "changeId", of: "transaction" | "changeId") =>
    [...Map.groupBy(told, (record) => record[by])].flatMap(([id, group]): ReadonlyArray<Problem> => {
      const distinct = new Set(group.map((record) => record[of])).size
      return distinct === 1 ? [] : [{ key: undefined, what: `${by} ${id} has ${distinct} values of ${of}` }]
    })
  return [...split("transaction", "changeId"), ...split("changeId", "transaction")]
}
