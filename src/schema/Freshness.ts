/**
 * When a value is stale, and the rest of the arithmetic of `maxStaleness`: when a silent feed is verified, and how long
 * an answer is waited for. All in milliseconds.
 *
 * A silent feed is verified after a quarter to a third of the bound, and has a third of it to answer. So a dead session
 * is noticed within two thirds, which leaves a third for reconnecting before the values count as overdue.
 *
 * An entry is also shown as stale while its tenant is not live: TenantStatus says when that is.
 *
 * @since 0.1.0
 */
import * as Snapshot from "./Snapshot.ts"

/** When what was confirmed at a moment becomes stale. */
export const staleAt = (confirmedAt: number, maxStaleness: number): number => confirmedAt + maxStaleness

/** Whether what was confirmed at a moment is stale now: the bound itself is too late. */
export const isStale = (confirmedAt: number, now: number, maxStaleness: number): boolean =>
  now >= staleAt(confirmedAt, maxStaleness)

/**
 * From when on a snapshot is not to be trusted, since it was confirmed too long ago. A snapshot that lacks an own write
 * which could not be placed is not to be trusted at all, until a later read.
 */
export const overdueAt = (snapshot: Snapshot.State, maxStaleness: number): number =>
  Snapshot.isDisowned(snapshot) ? -Infinity : staleAt(snapshot.confirmedAt, maxStaleness)

/** Whether a snapshot is not to be trusted now. */
export const isOverdue = (snapshot: Snapshot.State, now: number, maxStaleness: number): boolean =>
  now >= overdueAt(snapshot, maxStaleness)

/** A server that is well answers a short statement within this time, however large the bound is. */
const longestUsualAnswer = 5_000

/** How long an answer is waited for before its session counts as dead, while the server is well. */
export const answerBudget = (maxStaleness: number): number => Math.min(maxStaleness / 3, longestUsualAnswer)

/**
 * The pause before the next verification, for a `random` number in `[0, 1)`, after a read that took `took`. The slower
 * the answers, the sooner the next one is asked for, within limits: it must be there before the bound is.
 */
export const verifyDelay = (maxStaleness: number, took: number, random: number): number =>
  (1 / 4 + random * (1 / 3 - 1 / 4)) * Math.max(maxStaleness - 2 * took, maxStaleness / 2)

/** That an answer is not there in time is seen within this time, however large the bound is. */
const longestResolution = 1_000

/** By how much a deadline may be late that became due earlier than it was. */
export const schedulerResolution = (maxStaleness: number): number => Math.min(maxStaleness / 60, longestResolution)

/**
 * How long a look at the whole table and the catalogue is good for: less than the shortest pause before a verification.
 */
export const lookInterval = (maxStaleness: number): number => maxStaleness / 9
