/**
 * The databases of a memory plane, the connections to them, and the driver that a test has of both.
 *
 * Databases are shared by all planes that work on them. Connections, and hence faults, are each plane's own: a plane
 * has two routes to each database, one for statements and one for the session that listens.
 */
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as FiberSet from "effect/FiberSet"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Queue from "effect/Queue"
import type * as Scope from "effect/Scope"
import { InvalidTenantId } from "../../schema/ConfigError.ts"
import { ConnectorError, SessionLost, UnknownTenant } from "../../schema/ConnectorError.ts"
import { EntryStoreError } from "../../schema/EntryStoreError.ts"
import * as MemoryStatements from "../../schema/memory/MemoryStatements.ts"
import * as MemoryTable from "../../schema/memory/MemoryTable.ts"
import * as MemoryTransaction from "../../schema/memory/MemoryTransaction.ts"
import type { TenantId } from "../../schema/TenantId.ts"
import * as Tenant from "../../schema/TenantId.ts"
import { MemoryDriver, type MemoryTenant } from "../../services/MemoryDriver.ts"
import type { FeedSource } from "../feed/ReconnectingFeed.ts"
import type { MemoryDatabase } from "./MemoryDatabase.ts"
import * as MemoryNetwork from "./MemoryNetwork.ts"
import * as MemoryTenantDriver from "./MemoryTenantDriver.ts"

type Databases = Map<TenantId, MemoryDatabase>

/** A tenant of this plane: its database, and the routes to it. */
interface Branch {
  readonly database: MemoryDatabase
  readonly client: MemoryNetwork.Route
  readonly session: Effect.Effect<FeedSource, ConnectorError, Scope.Scope>
  readonly driver: MemoryTenant
}

export class MemoryDatabases extends Context.Service<
  MemoryDatabases,
  {
    readonly database: (tenant: TenantId) => MemoryDatabase
    /** A connection for statements. */
    readonly connect: (tenant: TenantId) => Effect.Effect<MemoryNetwork.Connection, ConnectorError, Scope.Scope>
    /** A session that listens. */
    readonly session: (tenant: TenantId) => Effect.Effect<FeedSource, ConnectorError, Scope.Scope>
  }
>()("effect-systemplane/layers/MemoryDatabases") {}

/** The databases that a driver drives, so that another plane can share them. */
const databasesOf = new WeakMap<MemoryDriver["Service"], Databases>()

export interface MemoryDatabasesOptions {
  /** The only tenant there is. */
  readonly sole: Option.Option<TenantId>
  /** The driver of another plane on the same databases. */
  readonly beside: MemoryDriver["Service"] | undefined
  /** The rows with which the database of a tenant comes into being. Default: none. */
  readonly initial?: ((tenant: TenantId) => ReadonlyArray<MemoryStatements.Put>) | undefined
}

/** How long a notification, or the end of a session, takes to arrive, in milliseconds. */
const travelTime = 1

const make = Effect.fnUntraced(function* (options: MemoryDatabasesOptions) {
  const databases: Databases = (options.beside && databasesOf.get(options.beside)) ?? new Map()
  const branches = new Map<TenantId, Branch>()
  // Started within the call, so that under `TestClock` everything that follows from the arrival is done before the
  // clock goes on.
  const run = yield* FiberSet.makeRuntime()
  const later: Later = (arrive) => run(Effect.andThen(Effect.sleep(travelTime), Effect.sync(arrive)))

  const databaseOf = (tenant: TenantId): MemoryDatabase => {
    const database = databases.get(tenant) ?? { table: tableOf(options.initial?.(tenant) ?? []), listeners: new Set() }
    databases.set(tenant, database)
    return database
  }

  const branchOf = (tenant: TenantId): Branch => {
    const branch = branches.get(tenant) ?? makeBranch(tenant, databaseOf(tenant), later)
    branches.set(tenant, branch)
    return branch
  }

  const resolve = (tenant: TenantId): Effect.Effect<Branch, ConnectorError> =>
    Option.isSome(options.sole) && options.sole.value !== tenant
      ? Effect.fail(ConnectorError.of(tenant, new UnknownTenant({})))
      : Effect.sync(() => branchOf(tenant))

  const driver = MemoryDriver.of({
    tenant: (tenant) =>
      Option.match(Tenant.parse(tenant), {
        onNone: () => Effect.fail(InvalidTenantId.from(tenant)),
        onSome: (tenant) => Effect.sync(() => branchOf(tenant).driver)
      })
  })
  databasesOf.set(driver, databases)

  const service = MemoryDatabases.of({
    database: databaseOf,
    connect: (tenant) =>
      Effect.flatMap(resolve(tenant), ({ client }) =>
        Effect.mapError(
          client.connect(() => {}),
          (reason) => ConnectorError.of(tenant, reason)
        )
      ),
    session: (tenant) => Effect.flatMap(resolve(tenant), ({ session }) => session)
  })

  return Context.make(MemoryDatabases, service).pipe(Context.add(MemoryDriver, driver))
})

export const layer = (options: MemoryDatabasesOptions) => Layer.effectContext(make(options))

/** A table with these rows, written before any time had passed. */
const tableOf = (rows: ReadonlyArray<MemoryStatements.Put>): MemoryTable.Table =>
  MemoryTransaction.transact<unknown>(MemoryTable.empty, 0, rows.map(MemoryStatements.put)).table

/** Runs a function once the travel time has passed. */
type Later = (arrive: () => void) => void

interface Session {
  readonly payloads: Queue.Queue<string, ConnectorError>
  readonly held: Array<string>
}

const makeBranch = (tenant: TenantId, database: MemoryDatabase, later: Later): Branch => {
  const sessions = new Set<Session>()

  // In the order of commit, and only if notifications may still pass when these arrive.
  const release = ({ held, payloads }: Session) => {
    if (held.length === 0 || feed.conditions.notifications !== "pass") return
    later(() => {
      if (feed.conditions.notifications === "pass") Queue.offerAllUnsafe(payloads, held.splice(0))
    })
  }
  const feed = MemoryNetwork.make(() => {
    for (const session of sessions) {
      if (feed.conditions.notifications === "lose") session.held.length = 0
      release(session)
    }
  })
  const client = MemoryNetwork.make(() => {})

  const receive = (session: Session) => (payloads: ReadonlyArray<string>) => {
    if (feed.conditions.notifications === "lose") return
    // If some are on their way already, these arrive with them.
    const first = session.held.length === 0
    session.held.push(...payloads)
    if (first) release(session)
  }

  const session = Effect.gen(function* () {
    const session: Session = { payloads: yield* Queue.unbounded<string, ConnectorError>(), held: [] }
    const listener = receive(session)
    const connection = yield* Effect.mapError(
      feed.connect(() => {
        sessions.delete(session)
        database.listeners.delete(listener)
        later(() =>
          Queue.failCauseUnsafe(
            session.payloads,
            Cause.fail(ConnectorError.of(tenant, new SessionLost({ code: "ECONNRESET" })))
          )
        )
      }),
      (reason) => ConnectorError.of(tenant, reason)
    )
    sessions.add(session)
    database.listeners.add(listener)
    const listening: FeedSource = {
      payloads: Queue.takeAll(session.payloads),
      abandon: Effect.sync(connection.close),
      diff: (keys, known) =>
        connection.send(Effect.sync(() => MemoryTable.diff(database.table, keys, known))).pipe(
          Effect.mapError((reason) => EntryStoreError.of(tenant, reason)),
          Effect.onInterrupt(() => Effect.sync(connection.close))
        )
    }
    return listening
  })

  const driver = MemoryTenantDriver.make(tenant, database, {
    client: client.driver,
    feed: {
      ...feed.driver,
      notify: (payloads) =>
        Effect.sync(() => {
          for (const session of sessions) later(() => Queue.offerAllUnsafe(session.payloads, payloads))
        }),
      takeHeld: Effect.sync(() => [...sessions].flatMap(({ held }) => held.splice(0)))
    }
  })
  return { database, client, session, driver }
}
