/**
 * The warning about a stored row that does not decode: what operators search their logs for. A replica remembers which
 * rows it has reported; `makeReport` does so in a plane without replicas.
 */
import * as Effect from "effect/Effect"
import type { ConfigKey } from "../../schema/ConfigKey.ts"
import { show } from "../../schema/KeyName.ts"
import type { Rejected } from "../../schema/SnapshotSlot.ts"
import type { TenantId } from "../../schema/TenantId.ts"
import * as LastValid from "./LastValid.ts"
import * as ReportedOnce from "./ReportedOnce.ts"

/** Warns of these rows of a tenant. `found` is what the history says was in force before them. */
export const warn = (
  tenant: TenantId,
  keys: ReadonlyArray<ConfigKey.Any>,
  rejected: ReadonlyArray<Rejected>,
  found: ReadonlyArray<LastValid.Found>
): Effect.Effect<void> =>
  Effect.forEach(
    rejected,
    ({ reason, revision, slot }) =>
      Effect.logWarning("A stored value does not fit its key's schema; the last one that does is in force").pipe(
        Effect.annotateLogs({
          tenant,
          key: show(keys[slot]!),
          revision,
          reason,
          inForce: LastValid.inForceOf(found, slot)
        })
      ),
    { discard: true }
  )

/** Warns of each row once: a row that changes and still does not decode is another one. */
export const makeReport = () => {
  const reported = ReportedOnce.make<bigint | undefined>()

  return (
    tenant: TenantId,
    keys: ReadonlyArray<ConfigKey.Any>,
    { found, rejected, state: { slots } }: LastValid.LoneRead
  ): Effect.Effect<void> =>
    Effect.suspend(() => {
      const isNew = ({ slot }: Rejected) =>
        reported.isNew(`${tenant}/${show(keys[slot]!)}`, slots[slot]!.seen?.fingerprint)
      return warn(tenant, keys, rejected.filter(isNew), found)
    })
}
