/**
 * Databases, roles and plain SQL on the real server, as programs other than the plane would use them.
 */
import { PgClient } from "@effect/sql-pg"
import { type Duration, Effect, Redacted, Schedule, Schema, Scope } from "effect"
import { Reactivity } from "effect/reactivity"
import { inject } from "vitest"
import * as EmptyDatabases from "./EmptyDatabases.ts"

/** A connection of a stranger: not of the plane, and told apart from it in `pg_stat_activity`. */
export interface Stranger {
  readonly run: (sql: string, params?: ReadonlyArray<unknown>) => Effect.Effect<ReadonlyArray<any>>
  readonly transaction: <A>(effect: Effect.Effect<A>) => Effect.Effect<A>
}

export interface TestDatabase extends Stranger {
  readonly name: string
  readonly url: Redacted.Redacted
  readonly urlAs: (role: TestRole) => Redacted.Redacted
  /** The sessions that the plane holds on this database. */
  readonly sessions: Effect.Effect<
    ReadonlyArray<{ readonly pid: number; readonly name: string; readonly user: string }>
  >
  /** How many of them listen. */
  readonly listeners: Effect.Effect<number>
  /** Ends the plane's listening sessions, and returns how many there were. */
  readonly killListeners: Effect.Effect<number>
  /** Writes a value by plain SQL and returns its revision. */
  readonly write: (namespace: string, key: string, value: unknown) => Effect.Effect<number>
  readonly erase: (namespace: string, key: string) => Effect.Effect<void>
}

export interface TestRole {
  readonly user: string
  readonly password: string
}

const urlOn = (server: Redacted.Redacted, database: string, role?: TestRole) => {
  const url = new URL(Redacted.value(server))
  url.pathname = `/${database}`
  if (role !== undefined) {
    url.username = role.user
    url.password = role.password
  }
  return Redacted.make(url.toString())
}

let counter = 0
const uniqueName = (prefix: string) => `${prefix}_${process.pid}_${Date.now().toString(36)}_${++counter}`

export const connect = (url: Redacted.Redacted): Effect.Effect<Stranger, never, Scope.Scope> =>
  PgClient.make({ url, applicationName: "stranger", maxConnections: 3 }).pipe(
    Effect.provideServiceEffect(Reactivity.Reactivity, Reactivity.make),
    Effect.orDie,
    Effect.map((client) => ({
      run: (sql, params) => Effect.orDie(client.unsafe(sql, params)),
      transaction: (effect) => Effect.orDie(client.withTransaction(effect))
    }))
  )

export const asRole = (database: TestDatabase, role: TestRole) => connect(database.urlAs(role))

// Connecting costs as much as creating a database does, so a worker's tests share this one. It ends with the worker.
let shared: Promise<Stranger> | undefined
const theServer = Effect.promise(() => {
  const url = urlOn(Redacted.make(inject("postgresUrl")), "postgres")
  shared ??= Effect.runPromise(Scope.provide(connect(url), Scope.makeUnsafe()))
  return shared
})

/** An empty database, as long as the scope. */
export const make = Effect.suspend(() => {
  const url = Redacted.make(inject("postgresUrl"))
  const pool = EmptyDatabases.pool
  return makeBy(
    url,
    theServer,
    (server) => Effect.suspend(() => pool.take() ?? create(server, "")),
    (server, name) => pool.giveBack(server, name, connect(urlOn(url, name)))
  )
})

/** A new database with another encoding, such as `LATIN1`. */
export const makeEncoded = (encoding: string) =>
  makeBy(Redacted.make(inject("postgresUrl")), theServer, (server) =>
    create(server, ` TEMPLATE template0 ENCODING '${encoding}' LOCALE 'C'`)
  )

/** The same on any server, which the URL reaches as a superuser, and which may be replaced meanwhile. */
export const makeOn = (url: Redacted.Redacted) => makeBy(url, connect(urlOn(url, "postgres")))

// Copying the files costs a quarter of what copying through the log does. PostgreSQL 14 does nothing else, and has no
// such option.
const copiesFiles = "SELECT current_setting('server_version_num')::int >= 150000 AS copies"

const create = Effect.fnUntraced(function* (server: Stranger, options: string) {
  const name = uniqueName("systemplane")
  const strategy = (yield* server.run(copiesFiles))[0].copies ? " STRATEGY file_copy" : ""
  yield* server.run(`CREATE DATABASE ${name}${options}${strategy}`)
  return name
})

const makeBy = Effect.fnUntraced(function* (
  url: Redacted.Redacted,
  administer: Effect.Effect<Stranger, never, Scope.Scope>,
  acquire: (server: Stranger) => Effect.Effect<string> = (server) => create(server, ""),
  release?: (server: Stranger, name: string) => Effect.Effect<boolean>
) {
  const urlOf = (database: string, role?: TestRole) => urlOn(url, database, role)
  const server = yield* administer
  const name = yield* Effect.acquireRelease(acquire(server), (name) =>
    Effect.scoped(
      Effect.gen(function* () {
        // Anew: the server may have been replaced since.
        const server = yield* administer
        if (release !== undefined && (yield* release(server, name))) return
        yield* server.run(`DROP DATABASE IF EXISTS ${name} WITH (FORCE)`)
      })
    )
  )
  const stranger = yield* connect(urlOf(name))
  const sessions = Effect.map(
    server.run(
      `SELECT pid, application_name AS name, usename AS user FROM pg_stat_activity
       WHERE datname = $1 AND application_name LIKE 'effect-systemplane%'`,
      [name]
    ),
    Schema.decodeUnknownSync(Schema.Array(Schema.Struct({ pid: Schema.Int, name: Schema.String, user: Schema.String })))
  )
  const database: TestDatabase = {
    ...stranger,
    name,
    url: urlOf(name),
    urlAs: (role) => urlOf(name, role),
    sessions,
    listeners: Effect.map(sessions, (all) => all.filter((session) => session.name.endsWith("listen")).length),
    killListeners: Effect.map(
      server.run(
        `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
         WHERE datname = $1 AND application_name = 'effect-systemplane listen'`,
        [name]
      ),
      (rows) => rows.length
    ),
    write: (namespace, key, value) =>
      Effect.map(
        stranger.run(
          `INSERT INTO systemplane_entries (namespace, key, value, updated_by) VALUES ($1, $2, $3::jsonb, 'stranger')
           ON CONFLICT (namespace, key) DO UPDATE SET value = excluded.value, updated_by = excluded.updated_by
           RETURNING revision`,
          [namespace, key, JSON.stringify(value)]
        ),
        ([row]) => Number(row.revision)
      ),
    erase: (namespace, key) =>
      Effect.asVoid(stranger.run("DELETE FROM systemplane_entries WHERE namespace = $1 AND key = $2", [namespace, key]))
  }
  return database
})

/** A new role that may log in and nothing else; dropped with the scope, after the databases it may use. */
export const makeRole = Effect.gen(function* () {
  const server = yield* theServer
  const role: TestRole = { user: uniqueName("role"), password: "first-password" }
  yield* Effect.acquireRelease(server.run(`CREATE ROLE ${role.user} LOGIN PASSWORD '${role.password}'`), () =>
    server.run(`DROP ROLE IF EXISTS ${role.user}`)
  )
  return { ...role, alterPassword: (password: string) => server.run(`ALTER ROLE ${role.user} PASSWORD '${password}'`) }
})

/** Waits until the condition holds; fails with what it waited for after 10 seconds, or what is given. */
export const eventually = <E, R>(
  what: string,
  condition: Effect.Effect<boolean, E, R>,
  within: Duration.Input = "10 seconds"
): Effect.Effect<void, E, R> =>
  condition.pipe(
    Effect.repeat({ until: (holds) => holds, schedule: Schedule.spaced("10 millis") }),
    Effect.timeoutOrElse({ duration: within, orElse: () => Effect.die(new Error(`never happened: ${what}`)) }),
    Effect.asVoid
  )
