/**
 * Whether a database that was prepared still is, as long as a feed lasts.
 *
 * Triggers, functions, rights and the primary key may be dropped, disabled or replaced while a tenant is live, and row
 * level security may be switched on. Most reads of the entries do not fail for that. So the feed looks at the catalogue
 * with each verification: one digest tells whether it is as it was. If it is not, and the objects are not in order
 * either, the tenant is prepared again (G13). A database that was served with a warning stays as it is.
 *
 * ```
 *   prepared just now, and changed for that or served with a warning ──▶ a look before the first read, for what is found
 *   found in order just now, or not looked at (bootstrap: "skip")    ──▶ a look with the first verification
 *   a session that follows another one                               ──▶ a look with its first verification
 *   a session that follows one that was not looked at                ──▶ a look before the first read
 * ```
 *
 * Until a first verification, which is soon, nothing gets stale, since each session begins with a read of all rows; and
 * a herd that connects has enough to ask. But sessions may always end before that (a link that breaks every few
 * seconds), so the second one does not put it off again.
 */
import * as Effect from "effect/Effect"
import type { SqlError } from "effect/sql/SqlError"
import { saysObjectsMissing } from "../../../schema/CodeWords.ts"
import type { DdlObject } from "../../../schema/ddl/DdlObjects.ts"
import type { Query } from "../../../services/Connector.ts"
import * as MonotonicClock from "../../runtime/MonotonicClock.ts"
import * as PgFailure from "../connection/PgFailure.ts"
import * as PgSchemaCheck from "./PgSchemaCheck.ts"

export interface PgSchemaWatch {
  /**
   * For a session: whether a read is worth its while, since the objects are as they were, or as they should be.
   * `onLook` is called with each look.
   */
  readonly on: (query: Query, onLook: () => void) => Effect.Effect<boolean>
}

export interface PgSchemaWatchOptions {
  /** How long a look at the catalogue is good for, in milliseconds. */
  readonly interval: number
  /** Whether the database was prepared before its first session. */
  readonly prepared: boolean
}

export const make = (
  objects: ReadonlyArray<DdlObject>,
  { interval, prepared }: PgSchemaWatchOptions
): PgSchemaWatch => {
  /** The digest that was found in order, or that the tenant was prepared again for. */
  let known: string | undefined
  /** Whether the objects were found in order when the database was prepared. They have to be, at the first look. */
  let wereInOrder = false
  /** Whether the newest session read without a look, and had none since. */
  let skipped = false

  const isAsItWas = Effect.fnUntraced(function* (query: Query) {
    const found = yield* PgSchemaCheck.digest(query)
    const isKnown = known === undefined ? !wereInOrder : known === found
    const asItWas = isKnown || (yield* PgSchemaCheck.findsEverything(query, [], objects))
    // Last, and at once with the answer: a look that is interrupted changes nothing.
    known = found
    return asItWas
  })

  return {
    on: (query, onLook) => {
      wereInOrder ||= PgSchemaCheck.wereFoundInOrder(query)
      const atOnce = skipped || (prepared && known === undefined && !wereInOrder)
      let lookedAt = atOnce ? Number.NEGATIVE_INFINITY : undefined
      return Effect.flatMap(MonotonicClock.millis, (now) => {
        if (lookedAt === undefined) {
          lookedAt = now
          skipped = true
        }
        if (now - lookedAt < interval) return Effect.succeed(true)
        onLook()
        return Effect.tap(isAsItWas(query), () =>
          Effect.sync(() => {
            lookedAt = now
            skipped = false
          })
        )
      }).pipe(
        // The read itself says what a lost connection or another refusal means; what is gone altogether is known here.
        Effect.catch((error: SqlError) => Effect.succeed(!saysObjectsMissing(PgFailure.statementFailure(error))))
      )
    }
  }
}
