/**
 * Reports rows that do not decode in a plane without replicas, which would remember what they have reported.
 */
import * as Effect from "effect/Effect"
import type { ConfigKey } from "../../schema/ConfigKey.ts"
import { show } from "../../schema/KeyName.ts"
import type { TenantId } from "../../schema/TenantId.ts"
import * as LastValid from "./LastValid.ts"
import * as ReportedOnce from "./ReportedOnce.ts"

/** Logs each row once: a row that changes and still does not decode is another one. */
export const makeReport = () => {
  const reported = ReportedOnce.make<bigint | undefined>()

  return (
    tenant: TenantId,
    keys: ReadonlyArray<ConfigKey.Any>,
    { found, rejected, state: { slots } }: LastValid.LoneRead
  ): Effect.Effect<void> =>
    Effect.forEach(
      rejected,
      ({ reason, revision, slot }) => {
        const key = show(keys[slot]!)
        return reported.isNew(`${tenant}/${key}`, slots[slot]!.seen?.fingerprint)
          ? Effect.logWarning("A stored value does not fit its key's schema; the last one that does is in force").pipe(
              Effect.annotateLogs({ tenant, key, revision, reason, inForce: LastValid.inForceOf(found, slot) })
            )
          : Effect.void
      },
      { discard: true }
    )
}
