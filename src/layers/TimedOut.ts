/**
 * What was not answered in time, whoever was asked.
 */
import { EntryStoreError, Unanswered } from "../schema/EntryStoreError.ts"
import type { TenantId } from "../schema/TenantId.ts"

export const timedOut = (tenant: TenantId) =>
  new EntryStoreError({ tenant, reason: new Unanswered({ code: "ETIMEDOUT" }) })
