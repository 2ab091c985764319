/**
 * Tenants that were found not to exist: the connector knows no database for them, or the server has none of that name.
 *
 * Requests may carry invented ids. Each costs one attempt, and for half a minute afterwards every use of it fails at
 * once, without a call of the resolver and without a connection. At most 10,000 ids are kept, about 2 MB; beyond that
 * the oldest are forgotten.
 */
import type { ActivationError } from "../../schema/ActivationError.ts"
import { ConnectFailed, ConnectorError, UnknownTenant } from "../../schema/ConnectorError.ts"
import type { EntryStoreError } from "../../schema/EntryStoreError.ts"
import type { TenantId } from "../../schema/TenantId.ts"
import { missingFor } from "./Timeouts.ts"

const mostRemembered = 10_000

/** What the error says. The error itself has a stack, which takes forty times as much. */
interface Missing {
  /** `undefined`: the connector knows no such tenant. */
  readonly code: string | undefined
  readonly address: string | undefined
  readonly until: number
}

export interface MissingTenants {
  /** What the last attempt failed with, if that was less than half a minute ago. */
  readonly get: (tenant: TenantId, now: number) => ConnectorError | undefined
  readonly add: (tenant: TenantId, error: ConnectorError, now: number) => void
  readonly delete: (tenant: TenantId) => void
}

export const make = (): MissingTenants => {
  // In the order in which they were added, so the first is the oldest.
  const missing = new Map<TenantId, Missing>()
  return {
    get: (tenant, now) => {
      const found = missing.get(tenant)
      if (found === undefined) return undefined
      if (now < found.until) return errorOf(tenant, found)
      missing.delete(tenant)
      return undefined
    },
    add: (tenant, { address, reason }, now) => {
      missing.delete(tenant)
      const code = reason._tag === "ConnectFailed" ? reason.code : undefined
      missing.set(tenant, { code, address, until: now + missingFor })
      if (missing.size > mostRemembered) missing.delete(missing.keys().next().value!)
    },
    delete: (tenant) => {
      missing.delete(tenant)
    }
  }
}

const errorOf = (tenant: TenantId, { address, code }: Missing): ConnectorError =>
  ConnectorError.of(tenant, code === undefined ? new UnknownTenant() : new ConnectFailed({ code }), address)

/** Whether the failure says that there is no such tenant. */
export const isMissing = ({
  reason
}: Pick<ConnectorError, "reason"> | Pick<EntryStoreError, "reason"> | Pick<ActivationError, "reason">): boolean =>
  reason._tag === "UnknownTenant" || (reason._tag === "ConnectFailed" && reason.code === "3D000")
