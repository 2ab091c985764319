/** The server with the tenants' databases, and the connections of the planes to it. */
import { Effect, Redacted, type Scope } from "effect"
import type { SqlError } from "effect/sql/SqlError"
import { Ddl } from "effect-systemplane"
import * as FaultProxy from "../../dev/FaultProxy.ts"
import * as PostgresServer from "../../dev/PostgresServer.ts"
import { connect, type Database } from "./Database.ts"
import * as Journal from "./Journal.ts"

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
}

export interface World {
  readonly server: PostgresServer.PostgresServer
  readonly admin: Database
  readonly tenants: ReadonlyArray<Tenant>
  readonly ways: ReadonlyArray<Way>
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
    max_connections: String(tenantCount * sessionsPerTenant(planes.length) + 50),
    track_commit_timestamp: "on",
    shared_buffers: "256MB"
  })
  const admin = yield* connect(server.url("postgres"))
  for (const plane of planes) yield* admin.run(`CREATE ROLE "${plane}" LOGIN PASSWORD 'soak'`)
  const names = Array.from({ length: tenantCount }, (_, i) => tenantName(i))
  const tenants = yield* Effect.forEach(names, (name) => makeTenant(server, admin, name, planes), { concurrency: 4 })
  const ways = yield* Effect.forEach(planes, (plane) => makeWay(server, plane))
  return { server, admin, tenants, ways } satisfies World
})

// Prepared in advance, as a migration pipeline would: the planes' roles have the least rights that the guarantee asks
// for.
const makeTenant = (
  server: PostgresServer.PostgresServer,
  admin: Database,
  name: string,
  planes: ReadonlyArray<string>
): Effect.Effect<Tenant, SqlError, Scope.Scope> =>
  Effect.gen(function* () {
    yield* admin.run(`CREATE DATABASE "${name}"`)
    // A connection that falls into a black hole leaves its transaction open, and its locks with it.
    yield* admin.run(`ALTER DATABASE "${name}" SET idle_in_transaction_session_timeout = '2s'`)
    const database = yield* connect(server.url(name))
    const prepare = [
      ...Ddl.parts.flatMap(({ statements }) => statements),
      ...Journal.ddl,
      ...planes.map((role) => Ddl.grants(role))
    ]
    yield* Effect.forEach(prepare, (statement) => database.run(statement), { discard: true })
    return { name, database }
  })

const makeWay = (server: PostgresServer.PostgresServer, plane: string) =>
  Effect.gen(function* () {
    const direct = server.url("{tenant}", { user: plane, password: "soak" })
    const proxy = yield* FaultProxy.makeTo(new URL(Redacted.value(direct)))
    // A URL escapes the braces.
    const urlTemplate = decodeURI(Redacted.value(proxy.through(direct)))
    return { plane, proxy, urlTemplate } satisfies Way
  })
