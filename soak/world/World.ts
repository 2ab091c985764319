/** The server with the tenants' databases, and the connections of the planes to it. */
import { mkdtemp, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Effect, Redacted, type Scope } from "effect"
import type { SqlError } from "effect/sql/SqlError"
import { Ddl } from "effect-systemplane"
import * as FaultProxy from "../../dev/FaultProxy.ts"
import * as PostgresServer from "../../dev/PostgresServer.ts"
import { connect, type Database } from "./Database.ts"
import * as Journal from "./Journal.ts"
import * as OddSettings from "./OddSettings.ts"
import * as OtherServices from "./OtherServices.ts"
import * as Remaking from "./Remaking.ts"

export interface Tenant {
  readonly name: string
  readonly database: Database
}

/** A plane's own route to the server: no other plane uses its role and its proxy. */
export interface Way {
  readonly plane: string
  readonly proxy: FaultProxy.FaultProxy
  /** With `{tenant}` for the tenant's id. */
  readonly urlTemplate: string
  /** Holds the role's password, as a secret store does. */
  readonly passwordFile: string
  /** Changes the role's password, and then what the file holds. */
  readonly rotatePassword: Effect.Effect<void, SqlError>
}

export interface World {
  readonly server: PostgresServer.PostgresServer
  readonly admin: Database
  readonly tenants: ReadonlyArray<Tenant>
  readonly ways: ReadonlyArray<Way>
  /** Beside the tenants; nothing but their recovery is checked. */
  readonly remade: ReadonlyArray<Remaking.Remade>
}

/** Ids of one length, so that none is a part of another. */
const tenantName = (index: number) => `tenant-${String(index + 1).padStart(4, "0")}`

/**
 * Sessions of each plane on a database: one that listens, and two for statements. The foreign writers have two, and the
 * check of notifications one.
 */
const sessionsPerTenant = (planes: number) => planes * 3 + 3

export const make = Effect.fnUntraced(function* (tenantCount: number, planes: ReadonlyArray<string>) {
  const server = yield* PostgresServer.makeWith({
    max_connections: String((tenantCount + remadeNames.length) * sessionsPerTenant(planes.length) + 50),
    track_commit_timestamp: "on",
    shared_buffers: "256MB"
  })
  const admin = yield* connect(server.url("postgres"))
  for (const role of OtherServices.roles) yield* admin.run(role)
  for (const plane of planes) yield* admin.run(`CREATE ROLE "${plane}" LOGIN PASSWORD 'soak'`)
  const names = Array.from({ length: tenantCount }, (_, i) => tenantName(i))
  const tenants = yield* Effect.forEach(names, (name, i) => makeTenant(server, admin, name, i, planes), {
    concurrency: 4
  })
  const remade = remadeNames.map(
    (name): Remaking.Remade => ({
      name,
      url: server.url(name),
      prepare: (database) => prepare(database, ddlFor(planes))
    })
  )
  for (const each of remade) yield* Remaking.make(admin, each)
  const directory = yield* temporaryDirectory
  const ways = yield* Effect.forEach(planes, (plane) => makeWay(server, admin, directory, plane))
  return { server, admin, tenants, ways, remade } satisfies World
})

const remadeNames = ["remade-0001", "remade-0002"]

const ddlFor = (planes: ReadonlyArray<string>) => [
  ...Ddl.parts.flatMap(({ statements }) => statements),
  ...planes.map((role) => Ddl.grants(role))
]

/** Makes what is missing of a tenant's schema. */
export const restore = ({ database }: Tenant) =>
  prepare(
    database,
    Ddl.parts.flatMap(({ statements }) => statements)
  )

const prepare = (database: Database, statements: ReadonlyArray<string>) =>
  Effect.forEach(statements, (statement) => database.run(statement), { discard: true })

const temporaryDirectory = Effect.acquireRelease(
  Effect.promise(() => mkdtemp(join(tmpdir(), "systemplane-soak-"))),
  (directory) => Effect.promise(() => rm(directory, { recursive: true, force: true }))
)

// Prepared in advance, as a migration pipeline would: the planes' roles have the least rights that the guarantee asks
// for.
const makeTenant = (
  server: PostgresServer.PostgresServer,
  admin: Database,
  name: string,
  index: number,
  planes: ReadonlyArray<string>
): Effect.Effect<Tenant, SqlError, Scope.Scope> =>
  Effect.gen(function* () {
    yield* admin.run(`CREATE DATABASE "${name}"`)
    // A connection that falls into a black hole leaves its transaction open, and its locks with it.
    yield* admin.run(`ALTER DATABASE "${name}" SET idle_in_transaction_session_timeout = '2s'`)
    const database = yield* connect(server.url(name))
    yield* prepare(database, [
      ...ddlFor(planes),
      ...Journal.ddl,
      ...OtherServices.grants,
      ...OddSettings.statements(index, name, planes)
    ])
    return { name, database }
  })

const makeWay = (server: PostgresServer.PostgresServer, admin: Database, directory: string, plane: string) =>
  Effect.gen(function* () {
    const direct = server.url("{tenant}", { user: plane, password: "soak" })
    const proxy = yield* FaultProxy.makeTo(new URL(Redacted.value(direct)))
    // A URL escapes the braces.
    const urlTemplate = decodeURI(Redacted.value(proxy.through(direct)))
    const passwordFile = join(directory, plane)
    const keep = (password: string) => Effect.promise(() => writeFile(passwordFile, password))
    yield* keep("soak")
    let rotations = 0
    const rotatePassword = Effect.gen(function* () {
      const password = `soak-${++rotations}`
      yield* admin.run(`ALTER ROLE "${plane}" PASSWORD '${password}'`)
      yield* Effect.sleep("300 millis")
      yield* keep(password)
    }).pipe(Effect.uninterruptible)
    return { plane, proxy, urlTemplate, passwordFile, rotatePassword } satisfies Way
  })
