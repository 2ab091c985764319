/** A connector that remembers every statement that is sent through it, and every session that listens. */
import { Effect, Layer } from "effect"
import { Connector } from "effect-systemplane"
import * as PgOneTenantPerDatabase from "../../src/layers/postgres/PgOneTenantPerDatabase.ts"

export interface Sent {
  /** Statements of the plane, in order, without the one that tells which database a new client leads to. */
  readonly statements: Array<string>
  /** Clients that were opened. */
  clients: number
  /** Sessions that were opened to listen. */
  sessions: number
}

export const make = <E, R>(connector: Layer.Layer<Connector, E, R>) => {
  const sent: Sent = { statements: [], clients: 0, sessions: 0 }
  const layer = Layer.effect(
    Connector,
    Effect.map(Connector, (inner) =>
      Connector.of({
        ...inner,
        client: (tenant) =>
          Effect.map(inner.client(tenant), (client) => {
            sent.clients++
            return new Proxy(client, {
              get: (target, member) => {
                if (member !== "unsafe") return Reflect.get(target, member)
                return (sql: string, params?: ReadonlyArray<unknown>) => {
                  if (sql !== PgOneTenantPerDatabase.identify) sent.statements.push(sql)
                  return target.unsafe(sql, params)
                }
              }
            })
          }),
        session: (tenant) => {
          sent.sessions++
          return inner.session(tenant)
        }
      })
    )
  ).pipe(Layer.provide(connector))
  return { layer, sent }
}
