/** The tenants' databases: on a server that is started for the tour, or on the user's own. */
import { PgClient } from "@effect/sql-pg"
import { Effect, Redacted } from "effect"
import { Reactivity } from "effect/reactivity"
import * as PostgresServer from "../../dev/PostgresServer.ts"

export const tenants = ["acme", "globex"] as const

const variable = "SYSTEMPLANE_DATABASE_URL_TEMPLATE"

/** The URL of a tenant's database, with `{tenant}` in place of its id. */
export const urlTemplate = Effect.gen(function* () {
  const given = process.env[variable]
  if (given !== undefined && given !== "") {
    yield* Effect.log(`Using the server of ${variable}; the databases of ${tenants.join(" and ")} must exist there`)
    return Redacted.make(given)
  }
  const server = yield* PostgresServer.make
  yield* Effect.scoped(
    Effect.gen(function* () {
      const admin = yield* connect(server.url("postgres"))
      for (const tenant of tenants) yield* admin.unsafe(`CREATE DATABASE tenant_${tenant}`)
    })
  )
  yield* Effect.log(`Started PostgreSQL on port ${server.port}`)
  return server.url("tenant_{tenant}")
})

export const urlOf = (template: Redacted.Redacted, tenant: string) =>
  Redacted.make(Redacted.value(template).replaceAll("{tenant}", tenant))

/** Plain SQL, as an operator or another service would run it. */
export const connect = (url: Redacted.Redacted) =>
  PgClient.make({ url, applicationName: "an operator", maxConnections: 1 }).pipe(
    Effect.provideServiceEffect(Reactivity.Reactivity, Reactivity.make)
  )

/** The URL as it may be printed: with the password only if the tour chose it. */
export const printable = (template: Redacted.Redacted, tenant: string) => {
  const url = new URL(Redacted.value(urlOf(template, tenant)))
  if (process.env[variable]) url.password = ""
  return url.toString()
}
