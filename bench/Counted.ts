/** A connector whose statements are counted, on sessions and on clients alike. */
import { Effect, Layer, type Redacted } from "effect"
import type { SqlClient } from "effect/sql"
import { Connector, PgConnector } from "effect-systemplane"

export interface Counts {
  statements: number
}

/** A connector to one database. */
export const connector = (tenant: string, url: Redacted.Redacted, counts: Counts) =>
  Layer.effect(
    Connector,
    Effect.map(Connector, (connector) => {
      const count = <A extends (...args: ReadonlyArray<any>) => unknown>(statement: A): A =>
        ((...args) => {
          counts.statements++
          return statement(...args)
        }) as A
      return Connector.of({
        ...connector,
        client: (tenant) =>
          Effect.map(
            connector.client(tenant),
            (client): SqlClient.SqlClient => Object.assign(client, { unsafe: count(client.unsafe) })
          ),
        session: (tenant) =>
          Effect.map(connector.session(tenant), (session) => ({
            ...session,
            query: count(session.query),
            queryEach: session.queryEach && count(session.queryEach)
          }))
      })
    })
  ).pipe(Layer.provide(PgConnector.layerRecord({ [tenant]: { url } })))
