/**
 * The databases of a memory plane, and its driver.
 *
 * Tables are shared by all planes that work on them; the links, and so the faults, are each plane's own.
 */
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as FiberSet from "effect/FiberSet"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Queue from "effect/Queue"
import * as Result from "effect/Result"
import type * as Scope from "effect/Scope"
import { InvalidTenantId } from "../../schema/ConfigError.ts"
import { ConnectorError, SessionLost, UnknownTenant } from "../../schema/ConnectorError.ts"
import { EntryStoreError, type EntryStoreErrorReason } from "../../schema/EntryStoreError.ts"
import * as JsonText from "../../schema/JsonText.ts"
import type { KeyName } from "../../schema/KeyName.ts"
import * as MemoryTable from "../../schema/MemoryTable.ts"
import type { TenantId } from "../../schema/TenantId.ts"
import * as Tenant from "../../schema/TenantId.ts"
import {
  type MemoryChangeOptions,
  MemoryDriver,
  type MemoryRow,
  type MemoryTenant
} from "../../services/MemoryDriver.ts"
import type { FeedSource } from "../feed/ReconnectingFeed.ts"
import * as MemoryNetwork from "./MemoryNetwork.ts"

/** One database, with the sessions that listen on it, those of all planes. */
export interface Database {
  table: MemoryTable.Table
  readonly listeners: Set<(payloads: ReadonlyArray<string>) => void>
}

type Databases = Map<TenantId, Database>

/** One tenant of one plane. */
interface Branch {
  readonly database: Database
  readonly client: MemoryNetwork.Link
  readonly session: Effect.Effect<FeedSource, ConnectorError, Scope.Scope>
  readonly driver: MemoryTenant
}

export class MemoryDatabases extends Context.Service<
  MemoryDatabases,
  {
    readonly database: (tenant: TenantId) => Database
    /** A connection for statements. */
    readonly connect: (tenant: TenantId) => Effect.Effect<MemoryNetwork.Connection, ConnectorError, Scope.Scope>
    /** A session that listens. */
    readonly session: (tenant: TenantId) => Effect.Effect<FeedSource, ConnectorError, Scope.Scope>
  }
>()("effect-systemplane/layers/MemoryDatabases") {}

/** Which databases a driver drives, for another plane to share them. */
const databasesOf = new WeakMap<MemoryDriver["Service"], Databases>()

export interface MemoryDatabasesOptions {
  /** The only tenant there is. */
  readonly sole: Option.Option<TenantId>
  /** The driver of another plane on the same databases. */
  readonly beside: MemoryDriver["Service"] | undefined
  /** The rows with which the database of a tenant comes into being. Default: none. */
  readonly initial?: ((tenant: TenantId) => ReadonlyArray<MemoryTable.Put>) | undefined
}

/** How long what a server sends by itself is on its way. */
const travelTime = 1

const make = Effect.fnUntraced(function* (options: MemoryDatabasesOptions) {
  const databases: Databases = (options.beside && databasesOf.get(options.beside)) ?? new Map()
  const branches = new Map<TenantId, Branch>()
  // Started within the call: under `TestClock` whatever follows from the arrival is done before the clock goes on.
  const run = yield* FiberSet.makeRuntime()
  const later: Later = (arrive) => run(Effect.andThen(Effect.sleep(travelTime), Effect.sync(arrive)))

  const databaseOf = (tenant: TenantId): Database => {
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
      ? Effect.fail(new ConnectorError({ tenant, reason: new UnknownTenant({}) }))
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
          (reason) => new ConnectorError({ tenant, reason })
        )
      ),
    session: (tenant) => Effect.flatMap(resolve(tenant), ({ session }) => session)
  })

  return Context.make(MemoryDatabases, service).pipe(Context.add(MemoryDriver, driver))
})

export const layer = (options: MemoryDatabasesOptions) => Layer.effectContext(make(options))

/** A table with these rows, written before any time had passed. */
const tableOf = (rows: ReadonlyArray<MemoryTable.Put>): MemoryTable.Table =>
  MemoryTable.transact<unknown>(MemoryTable.empty, 0, rows.map(MemoryTable.put)).table

/** Runs something once it has arrived. */
type Later = (arrive: () => void) => void

/** Runs statements in one transaction at the time of the clock, and tells all that listen. */
export const execute = <A>(
  database: Database,
  statements: ReadonlyArray<MemoryTable.Statement<A>>
): Effect.Effect<ReadonlyArray<A>, EntryStoreErrorReason> =>
  Effect.flatMap(Clock.currentTimeMillis, (now) => {
    const { payloads, result, table } = MemoryTable.transact(database.table, now, statements)
    database.table = table
    if (payloads.length > 0) for (const listener of database.listeners) listener(payloads)
    return Effect.fromResult(result)
  })

interface Session {
  readonly payloads: Queue.Queue<string, ConnectorError>
  readonly held: Array<string>
}

const makeBranch = (tenant: TenantId, database: Database, later: Later): Branch => {
  const sessions = new Set<Session>()

  // In the order of commit, and only what may still pass when it arrives.
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
    // Where some are on their way already, these arrive with them.
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
            Cause.fail(new ConnectorError({ tenant, reason: new SessionLost({ code: "ECONNRESET" }) }))
          )
        )
      }),
      (reason) => new ConnectorError({ tenant, reason })
    )
    sessions.add(session)
    database.listeners.add(listener)
    const listening: FeedSource = {
      payloads: Queue.takeAll(session.payloads),
      abandon: Effect.sync(connection.close),
      diff: (keys, known) =>
        connection.send(Effect.sync(() => MemoryTable.diff(database.table, keys, known))).pipe(
          Effect.mapError((reason) => new EntryStoreError({ tenant, reason })),
          Effect.onInterrupt(() => Effect.sync(connection.close))
        )
    }
    return listening
  })

  const driver = driverOf(tenant, database, {
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

const driverOf = (tenant: TenantId, database: Database, links: Pick<MemoryTenant, "client" | "feed">): MemoryTenant => {
  const run = <A>(statements: ReadonlyArray<MemoryTable.Statement<A>>) =>
    Effect.mapError(execute(database, statements), (reason) => new EntryStoreError({ tenant, reason }))

  const replace = (next: (table: MemoryTable.Table) => MemoryTable.Table) =>
    Effect.sync(() => {
      database.table = next(database.table)
    })

  return {
    ...links,
    write: (key, value, options) => Effect.map(run([writing(key, value, options)]), ([row]) => rowOf(row!)),
    erase: (key, options) => Effect.orDie(Effect.asVoid(run([erasing(key, options)]))),
    transact: (changes, options) =>
      Effect.asVoid(
        run<unknown>(
          changes.map((change) =>
            "value" in change ? writing(change.key, change.value, options) : erasing(change.key, options)
          )
        )
      ),
    truncate: Effect.orDie(Effect.asVoid(run([MemoryTable.by({ actor: stranger })(MemoryTable.truncate)]))),
    backup: Effect.sync(() => {
      const copy = database.table
      return replace((table) => MemoryTable.restore(table, copy))
    }),
    rows: Effect.sync(() => MemoryTable.rows(database.table).map(rowOf))
  }
}

const stranger = "stranger"

const writing = (
  { namespace, key }: KeyName,
  value: unknown,
  options: MemoryChangeOptions | undefined
): MemoryTable.Statement<MemoryTable.Row> => {
  const { actor = stranger, triggers = true } = options ?? {}
  const write = triggers ? MemoryTable.upsert : MemoryTable.overwrite
  return Result.match(JsonText.encode(value), {
    onFailure: () => MemoryTable.refuse,
    onSuccess: (json) => MemoryTable.by({ actor })(write({ namespace, key, json, actor }))
  })
}

const erasing = (key: KeyName, options: MemoryChangeOptions | undefined) =>
  options?.triggers === false
    ? MemoryTable.silently(MemoryTable.remove(key))
    : MemoryTable.by({ actor: options?.actor ?? stranger })(MemoryTable.remove(key))

const rowOf = (row: MemoryTable.Row): MemoryRow => ({
  namespace: row.namespace,
  key: row.key,
  ...MemoryTable.entryRow(row)
})
