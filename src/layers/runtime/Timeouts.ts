/**
 * How long a statement may take, and the error of one that was not answered in time.
 */
import * as Duration from "effect/Duration"
import { EntryStoreError, Unanswered } from "../../schema/EntryStoreError.ts"
import type { TenantId } from "../../schema/TenantId.ts"

/** How long a statement may take before it counts as unanswered. Entries are few and small: an answer takes milliseconds. */
export const statementTimeout = "5 seconds"

/** A statement was not answered within its budget, which the message names. */
export const timedOut = (tenant: TenantId, within: Duration.Input = statementTimeout) =>
  EntryStoreError.of(tenant, new Unanswered({ code: "ETIMEDOUT", within: Duration.fromInputUnsafe(within) }))

/** The bytes that a slow link carries in a second, each way. */
const slowLink = 64_000

/** What the server needs for each row of a write, its triggers included, where it is slow. In milliseconds. */
const perRow = 2

/** How long a write of these values may take, in milliseconds: 5 seconds, and more for more rows and more bytes. */
export const writeTimeout = (texts: ReadonlyArray<string | undefined>): number => {
  const bytes = texts.reduce((sum, text) => sum + (text?.length ?? 0), 0)
  return Duration.toMillis(statementTimeout) + (texts.length - 1) * perRow + (2000 * bytes) / slowLink
}

/**
 * A write that is not answered is sent again for twice its own time, and the last copy has that time to be answered: 10 and 15
 * seconds for a write of one key.
 */
export const writeBudget = { sending: 2, whole: 3 } as const

/** How long a write that cannot be placed may wait for the table to be read: a write of one key ends within 15 + 5 seconds. */
export const settleTimeout = "5 seconds"
