/**
 * The clients of a memory plane: one connection per tenant for statements, opened when first needed and closed when
 * idle.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as FiberSet from "effect/FiberSet"
import * as Layer from "effect/Layer"
import * as RcMap from "effect/RcMap"
import type * as Scope from "effect/Scope"
import { ConnectFailed, type ConnectorError } from "../../schema/ConnectorError.ts"
import { EntryStoreError, type EntryStoreErrorReason } from "../../schema/EntryStoreError.ts"
import type * as MemoryStatements from "../../schema/memory/MemoryStatements.ts"
import type * as MemoryTable from "../../schema/memory/MemoryTable.ts"
import type { TenantId } from "../../schema/TenantId.ts"
import { ConnectLimiter } from "../runtime/ConnectLimiter.ts"
import { idleTimeToLive, statementTimeout, timedOut } from "../runtime/Timeouts.ts"
import { execute, type MemoryDatabase } from "./MemoryDatabase.ts"
import { MemoryDatabases } from "./MemoryDatabases.ts"
import type { Connection } from "./MemoryNetwork.ts"

export class MemoryClients extends Context.Service<
  MemoryClients,
  {
    /** Runs statements in one transaction. Returns within 5 seconds. */
    readonly run: <A>(
      tenant: TenantId,
      statements: ReadonlyArray<MemoryStatements.Statement<A>>
    ) => Effect.Effect<ReadonlyArray<A>, EntryStoreError>
    /** Reads. Returns within 5 seconds. */
    readonly read: <A>(tenant: TenantId, look: (table: MemoryTable.Table) => A) => Effect.Effect<A, EntryStoreError>
    /** Forgets the client. It is closed once the statements under way have ended. */
    readonly release: (tenant: TenantId) => Effect.Effect<void>
  }
>()("effect-systemplane/layers/MemoryClients") {}

const make = Effect.gen(function* () {
  const databases = yield* MemoryDatabases
  const limiter = yield* ConnectLimiter
  const statements = yield* FiberSet.make()

  const clients = yield* RcMap.make({
    lookup: (tenant: TenantId) => limiter.client(tenant, databases.connect(tenant)),
    idleTimeToLive
  })

  // Without this, a failed look-up and a lost client would be kept for as long as a good client.
  const client = (tenant: TenantId): Effect.Effect<Connection, ConnectorError, Scope.Scope> =>
    RcMap.get(clients, tenant).pipe(
      Effect.onError(() => RcMap.invalidate(clients, tenant)),
      Effect.flatMap((connection) =>
        connection.isOpen()
          ? Effect.succeed(connection)
          : Effect.andThen(RcMap.invalidate(clients, tenant), client(tenant))
      )
    )

  // A statement runs in its own fiber: once it was sent, it runs when its request passes, even if its caller no longer
  // waits. A write whose outcome is unknown is such a statement.
  const onClient = <A>(
    tenant: TenantId,
    statement: (database: MemoryDatabase) => Effect.Effect<A, EntryStoreErrorReason>
  ): Effect.Effect<A, EntryStoreError> =>
    Effect.suspend(() => {
      let sent = false
      const whole = client(tenant).pipe(
        Effect.mapError(({ reason }) => reason),
        Effect.flatMap((connection) => {
          sent = true
          return connection.send(statement(databases.database(tenant)))
        }),
        Effect.scoped,
        Effect.mapError((reason) => EntryStoreError.of(tenant, reason))
      )
      const begun = Effect.flatMap(FiberSet.run(statements, whole), (fiber) => {
        const giveUp = Effect.sync(() => {
          if (!sent) fiber.interruptUnsafe()
        })
        return Fiber.join(fiber).pipe(
          Effect.onInterrupt(() => giveUp),
          Effect.timeoutOrElse({
            duration: statementTimeout,
            orElse: () => Effect.fail(sent ? timedOut(tenant) : unreachable(tenant))
          })
        )
      })
      return limiter.statement(tenant, begun)
    })

  return MemoryClients.of({
    run: (tenant, statements) => onClient(tenant, (database) => execute(database, statements)),
    read: (tenant, look) => onClient(tenant, (database) => Effect.sync(() => look(database.table))),
    release: (tenant) =>
      Effect.suspend(() => {
        limiter.forget(tenant)
        return RcMap.invalidate(clients, tenant)
      })
  })
})

export const layer = Layer.effect(MemoryClients, make)

const unreachable = (tenant: TenantId) => EntryStoreError.of(tenant, new ConnectFailed({ code: "ETIMEDOUT" }))
