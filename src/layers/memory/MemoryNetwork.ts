/**
 * A simulated network between a memory plane and a tenant's database: connections that come and go, and statements
 * whose requests and answers may be held, refused or cut. A route is all connections of one kind; its conditions are
 * set by a test.
 */
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Latch from "effect/Latch"
import type * as Scope from "effect/Scope"
import { ConnectFailed } from "../../schema/ConnectorError.ts"
import { type EntryStoreErrorReason, Refused, Unanswered } from "../../schema/EntryStoreError.ts"
import {
  type MemoryConditions,
  MemoryDriver,
  type MemoryFeedConditions,
  type MemoryLink
} from "../../services/MemoryDriver.ts"
import { connectTimeout } from "../runtime/Timeouts.ts"

/** A connection. The statements on it end with it. */
export interface Connection {
  /** Runs a statement at the other end. */
  readonly send: <A>(statement: Effect.Effect<A, EntryStoreErrorReason>) => Effect.Effect<A, EntryStoreErrorReason>
  readonly isOpen: () => boolean
  readonly close: () => void
}

type All = { readonly [K in keyof MemoryFeedConditions]-?: NonNullable<MemoryFeedConditions[K]> }

export interface Route {
  readonly conditions: All
  readonly driver: MemoryLink<MemoryFeedConditions>
  /** A connection that lives as long as the scope, or until it is lost; `onClose` runs then. */
  readonly connect: (onClose: () => void) => Effect.Effect<Connection, ConnectFailed, Scope.Scope>
}

/** A healthy route. `onSet` runs after each change of its conditions. */
export const make = (onSet: () => void): Route => {
  const conditions: { -readonly [K in keyof All]: All[K] } = { ...MemoryDriver.healthy }
  const latches = {
    connections: Latch.makeUnsafe(true),
    requests: Latch.makeUnsafe(true),
    answers: Latch.makeUnsafe(true)
  }
  const open = new Set<Connection>()
  const attempts: Array<number> = []
  let statements = 0

  const waits = (condition: All[keyof MemoryConditions]) => condition === "hold" || condition === "hang"

  /**
   * Waits while the condition holds or hangs, and returns the condition after that: it may have changed several times.
   */
  const met = <K extends keyof MemoryConditions>(which: K): Effect.Effect<All[K]> =>
    Effect.flatMap(latches[which].await, () =>
      waits(conditions[which]) ? met(which) : Effect.succeed<All[K]>(conditions[which])
    )

  const leg = (which: "requests" | "answers"): Effect.Effect<void, EntryStoreErrorReason> =>
    Effect.flatMap(met(which), (condition): Effect.Effect<void, EntryStoreErrorReason> => {
      if (condition === "refuse") return Effect.fail(new Refused({ code: "42501" }))
      if (condition === "cut") return Effect.fail(new Unanswered({ code: "ECONNRESET" }))
      return Effect.void
    })

  const accepted = Effect.flatMap(met("connections"), (condition) =>
    condition === "refuse" ? Effect.fail(new ConnectFailed({ code: "ECONNREFUSED" })) : Effect.void
  ).pipe(
    Effect.timeoutOrElse({
      duration: connectTimeout,
      orElse: () => Effect.fail(new ConnectFailed({ code: "ETIMEDOUT" }))
    })
  )

  const establish = (onClose: () => void): Connection => {
    const lost = Deferred.makeUnsafe<never, EntryStoreErrorReason>()
    const reset = Effect.fail(new Unanswered({ code: "ECONNRESET" }))
    const connection: Connection = {
      send: (statement) =>
        Effect.suspend(() => {
          if (!open.has(connection)) return reset
          statements++
          return leg("requests").pipe(
            Effect.andThen(Effect.exit(statement)),
            Effect.tap(leg("answers")),
            Effect.flatten,
            Effect.raceFirst(Deferred.await(lost))
          )
        }),
      isOpen: () => open.has(connection),
      close: () => {
        if (!open.delete(connection)) return
        Deferred.doneUnsafe(lost, reset)
        onClose()
      }
    }
    open.add(connection)
    return connection
  }

  const set = (changed: MemoryFeedConditions) => {
    for (const [name, condition] of Object.entries(changed)) {
      if (condition !== undefined) Object.assign(conditions, { [name]: condition })
    }
    for (const which of ["connections", "requests", "answers"] as const) {
      if (waits(conditions[which])) latches[which].closeUnsafe()
      else latches[which].openUnsafe()
    }
    onSet()
  }

  return {
    conditions,
    connect: Effect.fnUntraced(function* (onClose) {
      attempts.push(yield* Clock.currentTimeMillis)
      yield* accepted
      return yield* Effect.acquireRelease(
        Effect.sync(() => establish(onClose)),
        (connection) => Effect.sync(connection.close)
      )
    }),
    driver: {
      set: (changed) => Effect.sync(() => set(changed)),
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
