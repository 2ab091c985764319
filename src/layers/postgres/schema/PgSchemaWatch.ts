/**
 * Whether a database that was prepared still is, as long as a feed lasts.
 *
 * Triggers, functions, rights and the primary key may be dropped, disabled or replaced while a tenant is live, and row
 * level security may be switched on. Most reads of the entries do not fail for that. So the feed looks at the catalogue
 * with each verification: one digest tells whether it is as it was. If it is not, and the objects are not in order
 * either, the tenant is prepared again (G13). A database is served with warnings, too, and stays as it is then: so the
 * first look, which has nothing to compare with, asks for no more than `verify` does.
 *
 * Before its first read each session is looked at, so that what stands in the place of the table is not taken for it.
 * The first one of a tenant is the exception if there is nothing to find: the database was found in order just now, or
 * was not to be looked at (`bootstrap: "skip"`), so that whatever is there counts as it is.
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
  /** Whether there was a session before. */
  let follows = false

  const isAsItWas = Effect.fnUntraced(function* (query: Query) {
    const found = yield* PgSchemaCheck.digest(query)
    const asItWas =
      known === found ||
      (known === undefined && !prepared) ||
      (yield* PgSchemaCheck.findsEverything(query, [], objects)) ||
      (known === undefined && !wereInOrder && (yield* PgSchemaCheck.losesNothing(query, objects)))
    // Last, and at once with the answer: a look that is interrupted changes nothing.
    known = found
    return asItWas
  })

  return {
    on: (query, onLook) => {
      wereInOrder ||= PgSchemaCheck.wereFoundInOrder(query)
      const looksFirst = follows || (prepared && !wereInOrder)
      follows = true
      let lookedAt = looksFirst ? Number.NEGATIVE_INFINITY : undefined
      return Effect.flatMap(MonotonicClock.millis, (now) => {
        lookedAt ??= now
        if (now - lookedAt < interval) return Effect.succeed(true)
        onLook()
        return Effect.tap(isAsItWas(query), () =>
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
