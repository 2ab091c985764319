/**
 * Removes what the retention no longer keeps from the histories of live tenants, once an hour, one tenant after
 * another.
 *
 * A tenant whose role may not purge keeps everything: that is logged once, with the SQL that gives the right.
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type { Settings } from "../../schema/Options.ts"
import type { TenantId } from "../../schema/TenantId.ts"
import { HistoryStore } from "../../services/HistoryStore.ts"
import { TenantManager } from "../../services/TenantManager.ts"
import { retentionInterval } from "../runtime/Timeouts.ts"
import * as ReportedOnce from "../store/ReportedOnce.ts"
import * as Redaction from "../telemetry/Redaction.ts"

const make = Effect.fnUntraced(function* ({ history }: Pick<Settings, "history">) {
  if (history === undefined || (history.keepDays ?? history.keepPerKey) === undefined) return
  const store = yield* HistoryStore
  const manager = yield* TenantManager
  const logged = ReportedOnce.make<string>()

  const purge = (tenant: TenantId) =>
    store.purge(tenant, history).pipe(
      Effect.tap((removed) =>
        removed === 0
          ? Effect.void
          : Effect.logInfo("Records of the history were removed").pipe(Effect.annotateLogs({ tenant, removed }))
      ),
      Effect.catch(({ message }) => {
        if (!logged.isNew(tenant, message)) return Effect.void
        return Effect.logWarning("The retention of the history cannot be applied; everything is kept").pipe(
          Effect.annotateLogs({ tenant, cause: message })
        )
      }),
      Redaction.recover((defect) =>
        Redaction.log("Error", "Applying the retention failed unexpectedly", { defect, tenant })
      )
    )

  const purgeAll = Effect.flatMap(manager.statuses, (statuses) =>
    Effect.forEach(
      [...statuses].filter(({ state }) => state === "live"),
      ({ tenant }) => purge(tenant),
      { discard: true }
    )
  )

  yield* Effect.forkScoped(Effect.forever(Effect.andThen(Effect.sleep(retentionInterval), purgeAll)))
})

export const layer = (settings: Pick<Settings, "history">) => Layer.effectDiscard(make(settings))
