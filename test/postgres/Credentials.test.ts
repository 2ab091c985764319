/** No credential leaves the process in an error or a log (behaviour "shows no credential" of the connector). */
import { inspect } from "node:util"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Option, Redacted } from "effect"
import {
  Config,
  Connector,
  EntryStore,
  PgConnector,
  SchemaBootstrap,
  SystemplaneLive,
  TenantManager,
  withTenant
} from "effect-systemplane"
import { Limit } from "../support/keys.ts"
import * as TestDatabase from "../support/TestDatabase.ts"
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
  it.live("in no error of the connector, the store or the bootstrap", () =>
    Effect.gen(function* () {
      for (const [what, target] of Object.entries(yield* wrongTargets)) {
        const errors = yield* Effect.gen(function* () {
          const connector = yield* Connector
          const session = yield* Effect.flip(Effect.scoped(connector.session(acme)))
          // Statements do not use listenUrl.
          if (what === "a wrong listenUrl") return [session]
          return [
            session,
            yield* Effect.flip(EntryStore.use((store) => store.read(acme, Limit))),
            yield* Effect.flip(SchemaBootstrap.use((bootstrap) => bootstrap.ensure(acme)))
          ]
        }).pipe(Effect.provide([PgConnector.layerRecord({ acme: target }), layer({ acme: target })]))
        assert.isNotEmpty(errors)
        for (const error of errors) assertSilent(what, Witness.textOf(error))
      }
    }).pipe(Effect.scoped)
  )

  it.live("in no log, status or error of a plane, whether the credentials work or not", () =>
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
          yield* Effect.exit(manager.activate("acme"))
          const status = Option.getOrThrow(yield* manager.status("acme"))
          assert.strictEqual(status.state, what === "working" ? "live" : "activating", what)
          const read = yield* Effect.exit(Config.get(Limit).pipe(withTenant("acme")))
          logs.lines.push(inspect(status, { depth: 10 }), inspect(read, { depth: 10 }))
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
})
