/** No credential leaves the process in an error, a status or a log: a `ConnectorError` shows none. */
import { inspect } from "node:util"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Option, Redacted, Result } from "effect"
import {
  Config,
  Connector,
  Ddl,
  EntryStore,
  PgConnector,
  SchemaBootstrap,
  SystemplaneLive,
  TenantManager,
  withTenant
} from "effect-systemplane"
import { Limit } from "../support/keys.ts"
import { put } from "../support/StoreWrites.ts"
import * as TestDatabase from "../support/TestDatabase.ts"
import * as Catalog from "./Catalog.ts"
import { acme, layer } from "./TestStore.ts"
import * as Witness from "./Witness.ts"

const canary = "CaNaRy"

/** Addresses with a canary for a password, in every way in which an address can be wrong. */
const wrongTargets = Effect.map(TestDatabase.make, (database): Readonly<Record<string, PgConnector.PgTarget>> => {
  const { host, username } = new URL(Redacted.value(database.url))
  const target = (url: string, options: Partial<PgConnector.PgTarget> = {}) => ({ url: Redacted.make(url), ...options })
  return {
    "a wrong password": target(`postgres://${username}:${canary}@${host}/${database.name}`),
    "a wrong password beside the URL": { url: database.url, password: Redacted.make(canary) },
    "a wrong password as a parameter": target(`postgres://${username}@${host}/${database.name}?password=${canary}`),
    "an unknown role": target(`postgres://nobody:${canary}@${host}/${database.name}`),
    "a closed port": target(`postgres://${username}:${canary}@127.0.0.1:1/${database.name}`),
    "an unknown host": target(`postgres://${username}:${canary}@host.invalid/${database.name}`),
    "no URL": target(`${username}:${canary}@${host}`),
    "another protocol": target(`mysql://${username}:${canary}@${host}/${database.name}`),
    "a port out of range": target(`postgres://${username}:${canary}@127.0.0.1:99999/${database.name}`),
    "a broken escape": target(`postgres://${username}:${canary}%zz@${host}/${database.name}`),
    "an unknown sslmode": target(`postgres://${username}@${host}/${database.name}?sslmode=${canary}`),
    "a parameter the server refuses": target(
      `postgres://${username}@${host}/${database.name}?options=-c%20work_mem=${canary}`,
      { password: Redacted.make(decodeURIComponent(new URL(Redacted.value(database.url)).password)) }
    ),
    "a wrong listenUrl": {
      url: database.url,
      listenUrl: Redacted.make(`postgres://${username}:${canary}@${host}/${database.name}`)
    }
  }
})

const assertSilent = (what: string, text: string) => assert.notInclude(text.toLowerCase(), canary.toLowerCase(), what)

describe("credentials appear nowhere", () => {
  it.live("credentials appear in no error of the connector, the store or the bootstrap", () =>
    Effect.gen(function* () {
      const session = Connector.use((connector) => Effect.scoped(connector.session(acme)))
      const statements = [
        EntryStore.use((store) => store.read(acme, Limit)),
        put(Limit, "7"),
        SchemaBootstrap.use((bootstrap) => bootstrap.ensure(acme)),
        SchemaBootstrap.use((bootstrap) => bootstrap.verify(acme)),
        SchemaBootstrap.use((bootstrap) => bootstrap.seed(acme, [{ namespace: "n", key: "k", json: "1" }]))
      ]
      for (const [what, target] of Object.entries(yield* wrongTargets)) {
        // Statements do not use listenUrl.
        for (const attempt of [session, ...(target.listenUrl === undefined ? statements : [])]) {
          const error = yield* Effect.flip(
            attempt as Effect.Effect<unknown, Error, Effect.Services<typeof attempt>>
          ).pipe(Effect.provide(layer({ acme: target })))
          assert.include(error.message, "Tenant acme", what)
          assertSilent(what, Witness.textOf(error))
        }
      }
    }).pipe(Effect.scoped)
  )

  it.live("credentials appear in no log, status or error of a plane, whether they work or not", () =>
    Effect.gen(function* () {
      const role = yield* TestDatabase.makeRole
      const secret = `${canary}-works`
      yield* role.alterPassword(secret)
      const database = yield* TestDatabase.make
      yield* database.run(`GRANT ALL ON SCHEMA public TO ${role.user}`)
      yield* Effect.addFinalizer(() => database.run(`DROP OWNED BY ${role.user}`))
      const working = { url: database.urlAs({ ...role, password: secret }) }
      for (const [what, target] of Object.entries({ ...(yield* wrongTargets), working })) {
        const logs = Witness.captureLogs()
        yield* Effect.gen(function* () {
          const manager = yield* TenantManager
          const activation = yield* Effect.result(manager.activate("acme"))
          const status = Option.getOrThrow(yield* manager.status("acme"))
          assert.strictEqual(status.state, what === "working" ? "live" : "activating", what)
          const read = yield* Effect.result(Config.get(Limit).pipe(withTenant("acme")))
          const errors = [...Option.toArray(Result.getFailure(activation)), ...Option.toArray(Result.getFailure(read))]
          logs.lines.push(...errors.map(Witness.textOf))
          logs.lines.push(inspect(status, { depth: 10 }))
        }).pipe(
          Effect.provide(
            SystemplaneLive({ keys: [Limit] }).pipe(Layer.provide(PgConnector.layerRecord({ acme: target })))
          ),
          Effect.provide(logs.layer)
        )
        assert.isAbove(logs.lines.length, 3, what)
        assertSilent(what, logs.lines.join("\n"))
      }
    }).pipe(Effect.scoped)
  )

  it.live("credentials are not in the log of a plane that is locked out, and comes back", () =>
    Effect.gen(function* () {
      const role = yield* TestDatabase.makeRole
      const database = yield* TestDatabase.make
      yield* role.alterPassword(canary)
      yield* Catalog.prepare(database)
      yield* database.run(Ddl.grants(role.user))
      const logs = Witness.captureLogs()
      const plane = SystemplaneLive({
        keys: [Limit],
        tenants: ["acme"],
        reconnect: { base: "20 millis", cap: "50 millis" }
      }).pipe(Layer.provide(PgConnector.layerRecord({ acme: { url: database.urlAs({ ...role, password: canary }) } })))
      yield* Effect.gen(function* () {
        const manager = yield* TenantManager
        yield* role.alterPassword("another-password")
        assert.strictEqual(yield* database.killListeners, 1)
        yield* TestDatabase.eventually(
          "the feed has failed three times",
          Effect.map(manager.status("acme"), (status) => Option.getOrThrow(status).failures >= 3)
        )
        logs.lines.push(inspect(yield* manager.statuses, { depth: 10 }))
        yield* role.alterPassword(canary)
        yield* manager.awaitLive("acme")
      }).pipe(Effect.provide(plane), Effect.provide(logs.layer))

      const log = logs.lines.join("\n")
      assert.include(log, "the server refused the credentials")
      assertSilent("the log", log)
    }).pipe(Effect.scoped)
  )
})
