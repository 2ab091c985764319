/**
 * Which of two rows of one key is newer: the one that the snapshot knows, or the one that a read found. Pure.
 *
 * The revision alone does not tell. It is drawn before the commit, it is missing for an absent row, and a restored
 * backup has lower ones. So it also counts whether the slot was published after the read began: then the read may have
 * found an older row. Snapshot has the invariants that follow from this, and acts on the verdict.
 *
 * @since 0.1.0
 */
import type { EntryRow } from "./EntryRow.ts"

/** What the snapshot knows of the key. */
export interface Known {
  /** The last row seen. */
  readonly seen: EntryRow | undefined
  /** The highest revision seen in this epoch, across deletions. */
  readonly highestRevision: number
  /** The version of the snapshot that published the row last. */
  readonly publishedAt: number
}

/** What the snapshot knows of the whole table, as versions of the snapshot. */
export interface KnownTable {
  /** When the table was last found to have gone back. */
  readonly epochVersion: number
  /** When the whole table was last read. */
  readonly wholeVersion: number
}

/**
 * - `same`: the row is known.
 * - `publish`, `delete`: the row that was found, or its absence, is newer.
 * - `older`: the known row is newer.
 * - `inconclusive`: either may be newer; a read that begins now can tell.
 * - `regressed`: the table went back to before the known row.
 */
export type Verdict = "same" | "publish" | "delete" | "older" | "inconclusive" | "regressed"

/** Judges a row that was found, or its absence, by a read that began at the version `since`. */
export const judge = (table: KnownTable, known: Known, found: EntryRow | undefined, since: number): Verdict => {
  if (since < table.epochVersion) return "inconclusive"
  const publishedSince = known.publishedAt > since
  if (found === undefined) return known.seen === undefined ? "same" : publishedSince ? "inconclusive" : "delete"
  if (found.fingerprint === known.seen?.fingerprint) return "same"
  const foundAbsent = known.seen === undefined && (publishedSince || table.wholeVersion > since)
  if (found.revision > known.highestRevision) return foundAbsent ? "inconclusive" : "publish"
  if (found.revision === known.seen?.revision) return publishedSince ? "inconclusive" : "publish"
  return publishedSince ? "older" : "regressed"
}
