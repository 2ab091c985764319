/**
 * Reports rows that do not decode in a plane without replicas, which would remember what they have reported.
 */
import * as Effect from "effect/Effect"
import type { ConfigKey } from "../../schema/ConfigKey.ts"
import { show } from "../../schema/KeyName.ts"
import type { Rejected, State } from "../../schema/Snapshot.ts"
import type { TenantId } from "../../schema/TenantId.ts"

/** Rows remembered as reported. Each is a few dozen bytes; beyond that many, the oldest may be reported again. */
const capacity = 10_000

/** Logs each row once: a row that changes and still does not decode is another one. */
export const makeReport = () => {
  const reported = new Map<string, bigint | undefined>()

  const isNew = (name: string, fingerprint: bigint | undefined): boolean => {
    if (reported.get(name) === fingerprint && reported.has(name)) return false
    reported.delete(name)
    reported.set(name, fingerprint)
    if (reported.size > capacity) reported.delete(reported.keys().next().value!)
    return true
  }

  return (
    tenant: TenantId,
    keys: ReadonlyArray<ConfigKey.Any>,
    rejected: ReadonlyArray<Rejected>,
    { slots }: State
  ): Effect.Effect<void> =>
    Effect.forEach(
      rejected,
      ({ reason, revision, slot }) => {
        const key = show(keys[slot]!)
        return isNew(`${tenant}/${key}`, slots[slot]!.seen?.fingerprint)
          ? Effect.logWarning("A stored value does not fit its key's schema; the default is in force").pipe(
              Effect.annotateLogs({ tenant, key, revision, reason })
            )
          : Effect.void
      },
      { discard: true }
    )
}
