/**
 * Every wait for a database ends: for a client or a session to be opened, and for a statement to be answered.
 *
 * The driver answers interruption by draining the statement's answer, 5 seconds if the peer is gone. So a statement
 * runs in a fiber of its own, and no caller waits for the end of one that was abandoned. How long each may take is in
 * Timeouts.
 */
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as FiberSet from "effect/FiberSet"
import type * as Scope from "effect/Scope"
import type { ConnectorError } from "../../schema/ConnectorError.ts"
import type { EntryStoreError } from "../../schema/EntryStoreError.ts"
import type { TenantId } from "../../schema/TenantId.ts"
import { openTimeout, statementTimeout, timedOut } from "../runtime/Timeouts.ts"
import * as PgFailure from "./connection/PgFailure.ts"

export interface PgDeadlines {
  /** Waits half a minute at most for a client or a session to be opened. */
  readonly opened: <A, R>(
    tenant: TenantId,
    opening: Effect.Effect<A, ConnectorError, R>
  ) => Effect.Effect<A, ConnectorError, R>
  /** Runs a statement, and abandons it after 5 seconds, or `within`. */
  readonly bounded: <A>(
    tenant: TenantId,
    statement: Effect.Effect<A, EntryStoreError>,
    within?: Duration.Input
  ) => Effect.Effect<A, EntryStoreError>
  /** Runs what no caller waits for, from now on and until the scope closes. */
  readonly inBackground: (effect: Effect.Effect<void>) => Effect.Effect<void>
}

/** Statements that were abandoned end with the scope. */
export const make: Effect.Effect<PgDeadlines, never, Scope.Scope> = Effect.gen(function* () {
  const statements = yield* FiberSet.make()

  const opened = <A, R>(tenant: TenantId, opening: Effect.Effect<A, ConnectorError, R>) =>
    Effect.timeoutOrElse(opening, {
      duration: openTimeout,
      orElse: () => Effect.fail(PgFailure.notConnected(tenant, "ETIMEDOUT"))
    })

  const bounded = <A>(
    tenant: TenantId,
    statement: Effect.Effect<A, EntryStoreError>,
    within: Duration.Input = statementTimeout
  ) =>
    Effect.uninterruptibleMask((restore) =>
      Effect.flatMap(FiberSet.run(statements, statement), (fiber) => {
        const giveUp = Effect.sync(() => fiber.interruptUnsafe())
        return restore(
          Effect.timeoutOrElse(Fiber.join(fiber), {
            duration: within,
            orElse: () => Effect.fail(timedOut(tenant, within))
          })
        ).pipe(Effect.onError(() => giveUp))
      })
    )

  return {
    opened,
    bounded,
    inBackground: (effect) => Effect.asVoid(FiberSet.run(statements, effect, { startImmediately: true }))
  }
})
