/**
 * Every wait for a database ends: for a client or a session to be opened, and for a statement to be answered.
 *
 * The driver answers interruption by draining the statement's answer, 5 seconds if the peer is gone. So a statement
 * runs in a fiber of its own, and no caller waits for the end of one that was abandoned. How long each may take is in
 * Timeouts.
 */
import * as Cause from "effect/Cause"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as FiberSet from "effect/FiberSet"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import { ConnectorError } from "../../schema/ConnectorError.ts"
import type { EntryStoreError } from "../../schema/EntryStoreError.ts"
import type { TenantId } from "../../schema/TenantId.ts"
import { openTimeout, statementTimeout, timedOut } from "../runtime/Timeouts.ts"
import * as PgFailure from "./connection/PgFailure.ts"

export interface PgDeadlines {
  /**
   * Asks the connector, and waits half a minute at most. The connector may be the application's: if it throws, dies,
   * interrupts itself, fails with another error or yields nothing, it has failed to connect.
   */
  readonly opened: <A, R>(
    tenant: TenantId,
    open: () => Effect.Effect<A, ConnectorError, R>
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

  const opened = <A, R>(tenant: TenantId, open: () => Effect.Effect<A, ConnectorError, R>) =>
    Effect.timeoutOrElse(
      Effect.suspend(open).pipe(Effect.filterOrFail(isThere), Effect.catchCause(failedToConnect(tenant))),
      {
        duration: openTimeout,
        orElse: () => Effect.fail(PgFailure.notConnected(tenant, "ETIMEDOUT"))
      }
    )

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

const failedToConnect =
  (tenant: TenantId) =>
  (cause: Cause.Cause<unknown>): Effect.Effect<never, ConnectorError> => {
    const error = Option.getOrUndefined(Cause.findErrorOption(cause))
    return Effect.fail(isConnectorError(error) ? error : PgFailure.notConnected(tenant))
  }

const isConnectorError = Schema.is(ConnectorError)

const isThere = (resource: unknown): boolean => resource !== undefined && resource !== null
