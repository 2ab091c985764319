/**
 * How long a statement may take, and what is said of one that was not answered in time, whoever was asked.
 */
import { EntryStoreError, Unanswered } from "../../schema/EntryStoreError.ts"
import type { TenantId } from "../../schema/TenantId.ts"

/** How long a statement may take before it counts as unanswered. Entries are few and small: an answer takes milliseconds. */
export const statementTimeout = "5 seconds"

export const timedOut = (tenant: TenantId) => EntryStoreError.of(tenant, new Unanswered({ code: "ETIMEDOUT" }))
