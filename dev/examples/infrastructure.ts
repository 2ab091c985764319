/** What examples of the documentation take from an application: a directory of databases and a secret store. */
import { Effect, Redacted } from "effect"

export const directory = {
  databaseOf: (tenant: string) => Effect.succeed(Redacted.make(`postgres://app@localhost/tenant_${tenant}`))
}

export const vault = { read: (path: string) => Effect.succeed(Redacted.make(path)) }
