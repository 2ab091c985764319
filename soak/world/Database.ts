/** A direct connection to a tenant's database, beside the planes. */
import { PgClient } from "@effect/sql-pg"
import { Effect, type Redacted } from "effect"
import { Reactivity } from "effect/reactivity"
import type { SqlError } from "effect/sql/SqlError"

export interface Database {
  readonly run: (sql: string, params?: ReadonlyArray<unknown>) => Effect.Effect<ReadonlyArray<any>, SqlError>
  readonly transaction: <A, E>(effect: Effect.Effect<A, E>) => Effect.Effect<A, E | SqlError>
  /** The payloads that arrive on a channel, until the session ends. */
  readonly client: PgClient.PgClient
}

export const connect = (url: Redacted.Redacted) =>
  PgClient.make({ url, applicationName: "soak", maxConnections: 2, connectTimeout: "5 seconds" }).pipe(
    Effect.provideServiceEffect(Reactivity.Reactivity, Reactivity.make),
    Effect.map(
      (client): Database => ({
        run: (sql, params) => client.unsafe(sql, params),
        transaction: (effect) => client.withTransaction(effect),
        client
      })
    )
  )
