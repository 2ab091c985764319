/**
 * The history of a memory plane as a value: what the triggers record in PostgreSQL, and the questions that a history
 * answers.
 *
 * Records form a list whose newest one comes first, so that a table with its history is copied and restored as one
 * value. Ids count up by one. A transaction of another writer has an id that follows from its first record, so that a
 * test that runs twice sees the same ids.
 */
import * as DateTime from "effect/DateTime"
import { byName, idOf, type KeyName } from "../KeyName.ts"
import { type ChangeRecord, type CheckedQuery, type PastEntry, pastEntry } from "../operator/ChangeRecord.ts"

/** The newest record, and those before it; `undefined` for no record. */
export type History = { readonly record: ChangeRecord; readonly earlier: History } | undefined

/** Who makes a change, and why. */
export interface By {
  readonly actor?: string | undefined
  readonly changeId?: string | undefined
  readonly reason?: string | undefined
  /** Keys whose values the history must not keep. */
  readonly secrets?: ReadonlyArray<KeyName> | undefined
}

/** Adds a record. */
export const add = (history: History, record: Omit<ChangeRecord, "id">): History => ({
  record: { id: (history?.record.id ?? 0) + 1, ...record },
  earlier: history
})

/** The id of a change whose writer named none. */
export const nextChangeId = (history: History): string =>
  `00000000-0000-4000-8000-${((history?.record.id ?? 0) + 1).toString(16).padStart(12, "0")}`

/** The records, newest first. */
export function* newestFirst(history: History): Generator<ChangeRecord> {
  for (let at = history; at !== undefined; at = at.earlier) yield at.record
}

/** The records of a change, oldest first. */
export const ofChange = (history: History, changeId: string): ReadonlyArray<ChangeRecord> =>
  [...newestFirst(history)].filter((record) => record.changeId === changeId).reverse()

/** Records of a key, newest first. */
export const ofKey = (
  history: History,
  key: KeyName,
  { before, limit }: { readonly before: number | undefined; readonly limit: number }
): ReadonlyArray<ChangeRecord> =>
  [...newestFirst(history)]
    .filter((record) => isOf(record, key) && (before === undefined || record.id < before))
    .slice(0, limit)

/** The newest record that put a revision in force. */
export const ofRevision = (history: History, key: KeyName, revision: number): ChangeRecord | undefined => {
  for (const record of newestFirst(history)) {
    if (isOf(record, key) && record.revision === revision && record.operation !== "delete") return record
  }
  return undefined
}

/** Whole changes of which a record fits, newest first, each with the place of its newest fitting record. */
export const changes = (history: History, query: CheckedQuery) => {
  const found = new Map<string, number>()
  for (const record of newestFirst(history)) {
    if (fits(record, query) && !found.has(record.changeId!)) found.set(record.changeId!, record.id)
  }
  return [...found]
    .filter(([, position]) => query.before === undefined || position < query.before)
    .slice(0, query.limit)
    .map(([changeId, position]) => ({ position, records: ofChange(history, changeId) }))
}

/** The entries as they were at a moment, in the order of their names. */
export const at = (history: History, moment: number): ReadonlyArray<PastEntry> => {
  const found = new Map<string, ChangeRecord>()
  for (const record of newestFirst(history)) {
    const name = idOf(record)
    if (record.changedAt.epochMilliseconds <= moment && !found.has(name)) found.set(name, record)
  }
  return [...found.values()]
    .filter(({ operation }) => operation !== "delete")
    .sort(byName)
    .map(pastEntry)
}

/** The history without the records that a retention no longer keeps. `isInForce` tells which are kept in any case. */
export const purge = (
  history: History,
  {
    keepDays = 1,
    keepPerKey = 0
  }: { readonly keepDays?: number | undefined; readonly keepPerKey?: number | undefined },
  now: number,
  isInForce: (record: ChangeRecord) => boolean
): History => {
  const places = new Map<string, number>()
  const before = now - Math.max(keepDays, 1) * 86_400_000
  const kept = [...newestFirst(history)].filter((record) => {
    const name = idOf(record)
    const place = (places.get(name) ?? 0) + 1
    places.set(name, place)
    return record.changedAt.epochMilliseconds >= before || place <= keepPerKey || isInForce(record)
  })
  return kept.reduceRight<History>((earlier, record) => ({ record, earlier }), undefined)
}

/** The history without the values of a key that became a secret. */
export const redact = (history: History, key: KeyName): History =>
  [...newestFirst(history)].reduceRight<History>((earlier, record) => {
    if (!isOf(record, key)) return { record, earlier }
    const { previousValue: _, value: __, ...rest } = record
    return { record: { ...rest, redacted: true }, earlier }
  }, undefined)

/** A moment as records hold it. */
export const momentOf = (millis: number): DateTime.Utc => DateTime.makeUnsafe(millis)

const isOf = (record: KeyName, { key, namespace }: KeyName) => record.key === key && record.namespace === namespace

const fits = (record: ChangeRecord, { actor, from, key, namespace, to }: CheckedQuery): boolean =>
  (namespace === undefined || record.namespace === namespace) &&
  (key === undefined || record.key === key) &&
  (actor === undefined || record.changedBy === actor) &&
  (from === undefined || record.changedAt.epochMilliseconds >= from) &&
  (to === undefined || record.changedAt.epochMilliseconds < to)
