/**
 * Whether a database that was prepared still is, as long as a feed lasts.
 *
 * Triggers, functions, rights and the primary key may be dropped, disabled or replaced while a tenant is live, and row
 * level security may be switched on. Most reads of the entries do not fail for that. So the feed looks at the catalogue
 * before its first read, and with each verification: one digest tells whether it is as it was. If it is not, and the
 * objects are not in order either, the tenant is prepared again (G13). A database that was served with a warning stays
 * as it is.
 *
 * A session that follows another one is first looked at with its first verification, which is soon: until then nothing
 * gets stale, since the session began with a read of all rows, and a herd that reconnects has enough to ask.
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

/** `interval`: how long a look at the catalogue is good for, in milliseconds. */
export const make = (objects: ReadonlyArray<DdlObject>, interval: number): PgSchemaWatch => {
  /** The digest that was found in order, or that the tenant was prepared again for. */
  let known: string | undefined

  const isKnown = Effect.fnUntraced(function* (query: Query) {
    const found = yield* PgSchemaCheck.digest(query)
    const inOrder = known === undefined || known === found || (yield* PgSchemaCheck.findsEverything(query, [], objects))
    // Last, and at once with the answer: a look that is interrupted changes nothing.
    known = found
    return inOrder
  })

  return {
    on: (query, onLook) => {
      let lookedAt = known === undefined ? Number.NEGATIVE_INFINITY : undefined
      return Effect.flatMap(MonotonicClock.millis, (now) => {
        lookedAt ??= now
        if (now - lookedAt < interval) return Effect.succeed(true)
        onLook()
        return Effect.tap(isKnown(query), () =>
          Effect.sync(() => {
            lookedAt = now
          })
        )
      }).pipe(
        // The read itself says what a lost connection or another refusal means; what is gone altogether is known here.
        Effect.catch((error: SqlError) => Effect.succeed(!saysObjectsMissing(PgFailure.statementFailure(error))))
      )
    }
  }
}
