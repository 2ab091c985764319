/**
 * The ways between a memory plane and a tenant's database: connections that come and go, and statements that travel on them.
 */
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Latch from "effect/Latch"
import type * as Scope from "effect/Scope"
import { ConnectFailed } from "../schema/ConnectorError.ts"
import { type EntryStoreErrorReason, Refused, Unanswered } from "../schema/EntryStoreError.ts"
import type { MemoryFeedConditions, MemoryLink } from "../services/MemoryDriver.ts"

/** How long connecting may take, as with the connectors for PostgreSQL. */
const connectTimeout = "5 seconds"

/** A connection: statements on it end with it. */
export interface Connection {
  readonly lost: Deferred.Deferred<never, EntryStoreErrorReason>
  readonly close: () => void
}

type Conditions = { readonly [K in keyof MemoryFeedConditions]-?: NonNullable<MemoryFeedConditions[K]> }

export interface Link {
  readonly conditions: Conditions
  readonly driver: MemoryLink<MemoryFeedConditions>
  /** A connection that lives as long as the scope. */
  readonly connect: (onClose?: () => void) => Effect.Effect<Connection, ConnectFailed, Scope.Scope>
  /** Runs a statement at the other end of a connection. */
  readonly send: <A>(
    connection: Connection,
    statement: Effect.Effect<A, EntryStoreErrorReason>
  ) => Effect.Effect<A, EntryStoreErrorReason>
}

/** `onSet` runs when conditions were changed. */
export const make = (onSet: () => void = () => {}): Link => {
  const conditions: { -readonly [K in keyof Conditions]: Conditions[K] } = {
    connections: "accept",
    requests: "pass",
    answers: "pass",
    notifications: "pass"
  }
  const moving = {
    connections: Latch.makeUnsafe(true),
    requests: Latch.makeUnsafe(true),
    answers: Latch.makeUnsafe(true)
  }
  const open = new Set<Connection>()
  const attempts: Array<number> = []
  let statements = 0

  /** One leg of the way of a statement. Conditions may have changed while it waited. */
  const leg = (which: "requests" | "answers"): Effect.Effect<void, EntryStoreErrorReason> =>
    Effect.flatMap(moving[which].await, () => {
      switch (conditions[which]) {
        case "pass":
          return Effect.void
        case "hold":
          return leg(which)
        case "refuse":
          return Effect.fail(new Refused({ code: "42501" }))
        case "cut":
          return Effect.fail(new Unanswered({ code: "ECONNRESET" }))
      }
    })

  const accepted: Effect.Effect<void, ConnectFailed> = Effect.flatMap(moving.connections.await, () => {
    switch (conditions.connections) {
      case "accept":
        return Effect.void
      case "hang":
        return accepted
      case "refuse":
        return Effect.fail(new ConnectFailed({ code: "ECONNREFUSED" }))
    }
  })

  const connect: Link["connect"] = (onClose) =>
    Effect.gen(function* () {
      attempts.push(yield* Clock.currentTimeMillis)
      yield* Effect.timeoutOrElse(accepted, {
        duration: connectTimeout,
        orElse: () => Effect.fail(new ConnectFailed({ code: "ETIMEDOUT" }))
      })
      const connection: Connection = {
        lost: Deferred.makeUnsafe(),
        close: () => {
          if (!open.delete(connection)) return
          Deferred.doneUnsafe(connection.lost, Effect.fail(new Unanswered({ code: "ECONNRESET" })))
          onClose?.()
        }
      }
      open.add(connection)
      yield* Effect.addFinalizer(() => Effect.sync(connection.close))
      return connection
    })

  return {
    conditions,
    connect,
    send: (connection, statement) =>
      Effect.suspend(() => {
        statements++
        return leg("requests").pipe(
          Effect.andThen(Effect.exit(statement)),
          Effect.tap(leg("answers")),
          Effect.flatten,
          Effect.raceFirst(Deferred.await(connection.lost))
        )
      }),
    driver: {
      set: (changed) =>
        Effect.sync(() => {
          for (const [name, value] of Object.entries(changed)) {
            if (value !== undefined) Object.assign(conditions, { [name]: value })
          }
          for (const [name, latch] of Object.entries(moving)) {
            const waits = ["hold", "hang"].includes(conditions[name as keyof typeof moving])
            if (waits) latch.closeUnsafe()
            else latch.openUnsafe()
          }
          onSet()
        }),
      disconnect: Effect.sync(() => {
        const ended = [...open]
        for (const connection of ended) connection.close()
        return ended.length
      }),
      open: Effect.sync(() => open.size),
      attempts: Effect.sync(() => [...attempts]),
      statements: Effect.sync(() => statements)
    }
  }
}
