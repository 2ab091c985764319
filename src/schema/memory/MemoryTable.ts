/**
 * The table `systemplane_entries` as a value, with the rules that triggers enforce in PostgreSQL: what a memory plane
 * works on. Here is what the table holds, and what readers ask of it.
 *
 * ```
 *   (table, now, statements) ──▶ next table + payloads to notify + results, or why nothing was written
 * ```
 *
 * 1. **A revision is drawn on insert and whenever the value changes** (MemoryStatements). An identical value keeps it;
 *    the sequence goes on across deletions, and a transaction that fails gives back no number, as a sequence does not.
 * 2. **A transaction is all or nothing**, and at one time (MemoryTransaction); what it says twice in the same words is
 *    notified once.
 * 3. **Notifications carry names and a revision**, 0 for a deletion; names that no key can have are not announced.
 * 4. **Values are what `jsonb` makes of them** (JsonbText).
 * 5. **An untouched seed is no row** to a read, a write or a deletion; the driver sees it (`rows`).
 * 6. **Two versions of a row have two fingerprints**, also across a restored backup. A restored row has its old one.
 * 7. **A change takes effect once** under its id (MemoryChange), and each is recorded (MemoryRecords).
 *
 * What PostgreSQL does otherwise: a statement that meets an existing row may skip a revision, so that the distance of
 * two revisions says nothing; fingerprints are hashes of the row. There are no locks here: no statement waits for the
 * row of another, since statements and transactions run one after another.
 */
import * as HashMap from "effect/HashMap"
import * as Option from "effect/Option"
import type { EntryRow } from "../EntryRow.ts"
import { byName, idOf, type KeyName } from "../KeyName.ts"
import type { KeyDeclaration } from "../operator/KeyDeclaration.ts"
import * as SeedMark from "../SeedMark.ts"
import type { RowDiff } from "../Snapshot.ts"
import * as StoredValue from "../StoredValue.ts"
import type { Receipt } from "../WriteRequest.ts"
import type { History } from "./MemoryHistory.ts"

/** A row. `text` is the value as `jsonb` would write it. */
export interface Row {
  readonly namespace: string
  readonly key: string
  readonly text: string
  readonly revision: number
  /** In milliseconds. */
  readonly updatedAt: number
  readonly updatedBy: string
  readonly fingerprint: bigint
}

export interface Table {
  readonly rows: HashMap.HashMap<string, Row>
  /** The last revision that was drawn. */
  readonly sequence: number
  /** How many versions of rows there ever were. */
  readonly versions: bigint
  /** What was recorded of each change. */
  readonly history: History
  /** What applications declare of keys. */
  readonly declarations: Declarations
  /** What took effect, by change id. */
  readonly changes: HashMap.HashMap<string, Made>
}

/** What an application declares of a key. */
export interface Declared extends KeyDeclaration {
  readonly declaredBy: string
}

/** The newest first. */
export type Declarations = ReadonlyArray<Declared>

/** A change that took effect. */
export interface Made {
  /** What it wrote, as one text. */
  readonly content: string
  readonly receipt: Receipt
}

export const empty: Table = {
  rows: HashMap.empty(),
  sequence: 0,
  versions: 0n,
  history: undefined,
  declarations: [],
  changes: HashMap.empty()
}

/** The row of a key as readers see it: an untouched seed is none. */
export const find = (table: Table, name: KeyName): Row | undefined => {
  const row = lookUp(table, name)
  return row === undefined || isUntouched(row) ? undefined : row
}

/** The row of a key, also an untouched seed. */
export const lookUp = (table: Table, name: KeyName): Row | undefined =>
  Option.getOrUndefined(HashMap.get(table.rows, idOf(name)))

/** Whether the row holds a default that no writer has touched. */
export const isUntouched = ({ text, updatedBy }: Row): boolean => updatedBy === SeedMark.inMemory(text)

/** All rows, in the order of their names. */
export const rows = (table: Table): ReadonlyArray<Row> => [...HashMap.values(table.rows)].sort(byName)

/** A row as every implementation of the store hands it over; each time a value of its own. */
export const entryRow = ({ fingerprint, revision, text, updatedAt, updatedBy }: Row): EntryRow => ({
  ...StoredValue.parse(text),
  revision,
  updatedAt,
  updatedBy,
  fingerprint
})

/** How the table differs from what is known of these keys. */
export const diff = (
  table: Table,
  keys: ReadonlyArray<KeyName>,
  known: ReadonlyArray<bigint | undefined>
): ReadonlyArray<RowDiff> =>
  keys.flatMap((key, slot) => {
    const row = find(table, key)
    return row?.fingerprint === known[slot] ? [] : [{ slot, row: row && entryRow(row) }]
  })

/** Takes a table back to an older copy of it, its sequence too. */
export const restore = (table: Table, copy: Table): Table => ({ ...copy, versions: table.versions })
