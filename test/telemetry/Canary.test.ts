/**
 * Values and credentials that sing when they appear: each test takes one path through the plane, hands it nothing but
 * canaries, and looks for them in the logs, the spans, the errors and the metrics.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Option, Redacted, Result, Schema } from "effect"
import {
  Config,
  type ConfigError,
  ConfigKey,
  Connector,
  Ddl,
  PgConnector,
  SystemplaneLive,
  SystemplaneReadThrough,
  TenantManager,
  withTenant
} from "effect-systemplane"
import * as PgCursorRead from "../../src/layers/postgres/diff/PgCursorRead.ts"
import * as Catalog from "../postgres/Catalog.ts"
import * as keys from "../support/keys.ts"
import * as TestDatabase from "../support/TestDatabase.ts"
import { withRegistry } from "./Series.ts"
import * as Sinks from "./Sinks.ts"

const canary = "canary"
const { ApiKey, Burst, Feature, Greeting, Limit } = keys
const actor = { actor: "ada" }
const tenant = "acme"
const reconnect = { base: "20 millis", cap: "50 millis" } as const

/** A schema whose own code throws the value. */
const Thrown = ConfigKey.make("texts", "thrown", {
  schema: Schema.String.check(
    Schema.makeFilter((value) => {
      if (value.includes(canary)) throw new Error(`not ${value}`)
      return true
    })
  ),
  defaultValue: ""
})

const SecretDefault = ConfigKey.make("secrets", "default", {
  schema: Schema.String,
  defaultValue: `${canary}-default`,
  secret: true
})

const all = [...keys.all, Thrown, SecretDefault]

const connectTo = (target: PgConnector.PgTarget) => PgConnector.layerRecord({ [tenant]: target })

/** Runs a path on a plane with a registry of its own, and looks for the canaries once the plane is closed. */
const sing = <A, E, PE>(
  plane: Layer.Layer<A, PE>,
  path: (sinks: Sinks.Sinks) => Effect.Effect<unknown, E, A>
): Effect.Effect<Sinks.Sinks, E | PE | ConfigError> =>
  Effect.suspend(() => {
    const sinks = Sinks.make()
    return path(sinks).pipe(
      withTenant(tenant),
      Effect.andThen(sinks.readMetrics),
      Effect.provide(plane),
      Effect.provide(sinks.layer),
      withRegistry,
      Effect.andThen(Effect.sync(() => sinks.assertNone(canary))),
      Effect.as(sinks)
    )
  })

const live = (connector: Layer.Layer<Connector>, options: Partial<Parameters<typeof SystemplaneLive>[0]> = {}) =>
  SystemplaneLive({ keys: all, reconnect, ...options }).pipe(Layer.provide(connector))

/** A database that holds canaries, some of which do not decode, and that repeats a value when it refuses it. */
const makeDatabase = Effect.gen(function* () {
  const database = yield* TestDatabase.make
  yield* Catalog.prepare(database)
  yield* database.write(ApiKey.namespace, ApiKey.key, `${canary}-secret`)
  yield* database.write(Greeting.namespace, Greeting.key, `${canary}-ordinary`)
  yield* database.write(Limit.namespace, Limit.key, `${canary}-bad`)
  yield* database.write(Feature.namespace, Feature.key, { enabled: `${canary}-bad`, percent: 1 })
  yield* database.write(Thrown.namespace, Thrown.key, `${canary}-thrown`)
  yield* database.run(
    `ALTER TABLE systemplane_entries ADD CONSTRAINT no_refused CHECK (value::text NOT LIKE '%refused%')`
  )
  yield* database.run(
    `CREATE FUNCTION shout() RETURNS trigger LANGUAGE plpgsql AS
     $$ BEGIN RAISE EXCEPTION 'not %', new.value USING ERRCODE = '23514', DETAIL = new.value::text; END $$`
  )
  yield* database.run(
    `CREATE TRIGGER shout BEFORE INSERT OR UPDATE ON systemplane_entries
     FOR EACH ROW WHEN (new.value::text LIKE '%shouted%') EXECUTE FUNCTION shout()`
  )
  return database
})

/** Refuses all new connections, and ends the sessions there are. */
const shut = (database: TestDatabase.TestDatabase) =>
  Effect.gen(function* () {
    const url = new URL(Redacted.value(database.url))
    url.pathname = "/postgres"
    const server = yield* TestDatabase.connect(Redacted.make(url.toString()))
    yield* server.run(`ALTER DATABASE ${database.name} WITH ALLOW_CONNECTIONS false`)
    yield* server.run(
      `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
       WHERE datname = $1 AND application_name LIKE 'effect-systemplane%'`,
      [database.name]
    )
  }).pipe(Effect.scoped)

const forAll = <A, B, E>(items: ReadonlyArray<A>, each: (item: A) => Effect.Effect<B, E>) =>
  Effect.forEach(items, each, { concurrency: 4, discard: true })

const parts = ["client", "unsafe", "session", "query", "queryEach", "payloads"] as const

/** A connector of an application's own, one part of which dies. */
const dyingAt = (part: (typeof parts)[number], inner: Connector["Service"], error: Error) => {
  const dies = Effect.die(error)
  return Connector.of({
    sole: inner.sole,
    client: (tenant) =>
      part === "client"
        ? dies
        : Effect.map(inner.client(tenant), (client) =>
            part === "unsafe" ? new Proxy(client, { get: () => () => dies }) : client
          ),
    session: (tenant) =>
      part === "session"
        ? dies
        : Effect.map(inner.session(tenant), (session) => ({
            ...session,
            payloads: part === "payloads" ? dies : session.payloads,
            queryEach: part === "queryEach" ? () => dies : undefined,
            // Not the first statement, which asks what database it is.
            query: (sql, params) =>
              part === "query" && sql === PgCursorRead.selectWholeAtOnce ? dies : session.query(sql, params)
          }))
  })
}

const reads = Effect.gen(function* () {
  assert.strictEqual(yield* Config.get(ApiKey), `${canary}-secret`)
  assert.strictEqual(yield* Config.get(Greeting), `${canary}-ordinary`)
  assert.strictEqual((yield* Config.snapshot).get(ApiKey), `${canary}-secret`)
  assert.strictEqual(yield* Config.get(Limit), Limit.defaultValue)
  assert.strictEqual(yield* Config.get(Thrown), Thrown.defaultValue)
  assert.strictEqual(yield* Config.getOrDefault(SecretDefault), `${canary}-default`)
  yield* Config.entry(ApiKey)
  yield* Config.get(Greeting.namespace, Greeting.key)
  yield* Config.list(ApiKey.namespace)
})

/**
 * Values that the schema, the server's rules and its triggers refuse, and writes that come too late; then some that
 * land.
 */
const writes = (sinks: Sinks.Sinks) =>
  Effect.gen(function* () {
    const fails = (write: Effect.Effect<unknown, ConfigError, Config>, tag: ConfigError["reason"]["_tag"]) =>
      Effect.map(sinks.failure(write), (error) => assert.strictEqual(error.reason._tag, tag))
    yield* fails(Config.set(Limit, `${canary}-invalid` as any, actor), "InvalidValue")
    yield* fails(Config.set(ApiKey, [`${canary}-invalid`] as any, actor), "InvalidValue")
    yield* fails(Config.set(Greeting, `${canary}\0`, actor), "InvalidValue")
    yield* fails(Config.set(Thrown, `${canary}-thrown`, actor), "InvalidValue")
    for (const key of [ApiKey, Greeting]) {
      for (const refused of ["refused", "shouted"]) {
        yield* fails(Config.set(key, `${canary}-${refused}`, actor), "Unavailable")
        yield* fails(
          Config.setAll([ConfigKey.value(Burst, 5), ConfigKey.value(key, `${canary}-${refused}`)], actor),
          "Unavailable"
        )
      }
      yield* fails(Config.set(key, `${canary}-late`, { ...actor, ifRevision: 1_000_000 }), "RevisionConflict")
      yield* Config.set(key, `${canary}-written`, actor)
      yield* Config.setAll([ConfigKey.value(key, `${canary}-written-again`)], actor)
      yield* Config.remove(key, actor)
    }
  })

const unavailable = (sinks: Sinks.Sinks) =>
  Effect.gen(function* () {
    for (const attempt of [
      Config.get(ApiKey),
      Config.get(Greeting),
      Config.entry(ApiKey),
      Config.entry(Greeting),
      Config.snapshot,
      Config.list(Greeting.namespace),
      Config.set(ApiKey, `${canary}-lost`, actor),
      Config.set(Greeting, `${canary}-lost`, actor),
      Config.remove(ApiKey, actor)
    ]) {
      const { reason } = yield* sinks.failure<unknown, ConfigError, Config>(attempt)
      assert.strictEqual(reason._tag, "Unavailable")
    }
  })

describe("a value or a credential is in no log, span, error or metric", () => {
  it.live("no value or credential is shown by a plane that reads, refuses, is cut off and drained", () =>
    Effect.gen(function* () {
      const database = yield* makeDatabase
      const sinks = yield* sing(live(connectTo(database), { tenants: [tenant] }), (sinks) =>
        Effect.gen(function* () {
          const manager = yield* TenantManager
          const handle = yield* Config.handle(ApiKey)
          assert.strictEqual(handle.current, `${canary}-secret`)
          yield* reads
          yield* manager.suspend(tenant)
          yield* reads
          yield* manager.activate(tenant)
          yield* writes(sinks)
          yield* database.write(ApiKey.namespace, ApiKey.key, `${canary}-secret`)
          yield* database.write(Greeting.namespace, Greeting.key, `${canary}-ordinary`)
          yield* TestDatabase.eventually(
            "the last writes are seen",
            Effect.map(Config.get(Greeting), (value) => value === `${canary}-ordinary`)
          )
          yield* database.write(Burst.namespace, Burst.key, [`${canary}-bad`])
          yield* database.run("SELECT pg_notify('systemplane_changes', $1)", [`${canary}-malformed`])
          yield* TestDatabase.eventually(
            "the session read what it was told",
            Effect.sync(() => sinks.logs.some((line) => line.includes("malformed")))
          )
          yield* manager.suspend(tenant)
          yield* shut(database)
          yield* unavailable(sinks)
          yield* sinks.failure(manager.activate(tenant))
          sinks.see(yield* manager.statuses)
          sinks.see(yield* manager.health)
          yield* manager.drain()
          yield* sinks.failure(Config.handle(ApiKey))
          yield* sinks.failure(manager.activate(tenant))
          yield* unavailable(sinks)
        })
      )
      // Each sink was told what it is there for.
      const told = {
        logs: ["Tenant is live", "does not fit its key's schema", "Tenant is suspended"],
        spans: [
          "Systemplane.activate",
          "Systemplane.reconcile",
          "Config.set",
          "Config.setAll",
          "Config.remove",
          "23514"
        ],
        errors: ["RevisionConflict", "InvalidValue", "Unavailable", "Closed"],
        metrics: ["get_cache_hits_total", "rejected_rows_total", "tenants_active"]
      }
      for (const [sink, words] of Object.entries(told)) {
        for (const word of words) assert.include(sinks[sink as keyof typeof told].join(), word, sink)
      }
    }).pipe(Effect.scoped)
  )

  it.live("no value or credential is shown by a plane without a cache", () =>
    Effect.gen(function* () {
      const database = yield* makeDatabase
      const plane = SystemplaneReadThrough({ keys: all, bootstrap: "verify" }).pipe(Layer.provide(connectTo(database)))
      yield* sing(plane, (sinks) =>
        Effect.gen(function* () {
          yield* reads
          yield* writes(sinks)
          yield* sinks.failure(Config.handle(ApiKey))
          yield* shut(database)
          yield* unavailable(sinks)
          yield* sinks.readMetrics
        })
      )
    }).pipe(Effect.scoped)
  )

  it.live("a value or a credential is in no log, span, error or metric if an address or its password is wrong", () =>
    Effect.gen(function* () {
      const { name, url } = yield* TestDatabase.make
      const { host, username } = new URL(Redacted.value(url))
      const wrong = (address: string) => Redacted.make(address)
      const targets: ReadonlyArray<PgConnector.PgTarget> = [
        { url: wrong(`postgres://${username}:${canary}@${host}/${name}`) },
        { url: wrong(`postgres://${username}:${canary}@127.0.0.1:1/${name}`) },
        { url: wrong(`postgres://${username}:${canary}@host.invalid/${name}`) },
        { url: wrong(`${username}:${canary}@${host}`) },
        { url, password: Redacted.make(canary) },
        { url, listenUrl: wrong(`postgres://${username}:${canary}@${host}/${name}`) }
      ]
      yield* forAll(targets, (target) =>
        sing(live(connectTo(target)), (sinks) =>
          Effect.gen(function* () {
            const manager = yield* TenantManager
            yield* sinks.failure(manager.activate(tenant))
            if (target.listenUrl === undefined) yield* sinks.failure(Config.get(ApiKey))
            sinks.see(yield* manager.statuses)
          })
        )
      )
    }).pipe(Effect.scoped)
  )

  it.live("no value or credential is shown if credentials are rotated, to bad ones and to good ones", () =>
    Effect.gen(function* () {
      const database = yield* makeDatabase
      const role = yield* TestDatabase.makeRole
      yield* database.run(Ddl.grants(role.user))
      yield* Effect.addFinalizer(() => database.run(`DROP OWNED BY ${role.user}`))
      let password = `${canary}-first`
      yield* role.alterPassword(password)
      const connector = PgConnector.layerFrom(() =>
        Effect.sync(() => Option.some({ url: database.urlAs(role), password: Redacted.make(password) }))
      )
      yield* sing(live(connector, { tenants: [tenant] }), (sinks) =>
        Effect.gen(function* () {
          const manager = yield* TenantManager
          password = `${canary}-wrong`
          yield* sinks.failure(manager.rotateCredentials(tenant))
          sinks.see(yield* manager.statuses)
          password = `${canary}-second`
          // What an operator's own statements tell is not the plane's doing.
          yield* Effect.withTracerEnabled(role.alterPassword(password), false)
          yield* manager.rotateCredentials(tenant)
          yield* manager.awaitLive(tenant)
          yield* reads
        })
      )
    }).pipe(Effect.scoped)
  )

  it.live("no value or credential is shown if the resolver fails or dies with a secret in its words", () =>
    Effect.gen(function* () {
      const database = yield* makeDatabase
      const error = new Error(`the vault says ${canary}`, { cause: { password: canary } })
      const resolvers: ReadonlyArray<Layer.Layer<Connector>> = [
        Effect.fail(error),
        Effect.die(error),
        Effect.die(canary),
        Effect.sync(() => {
          throw error
        })
      ].map((resolved) => PgConnector.layerFrom(() => resolved))
      const dying = parts.map((part) =>
        Layer.effect(
          Connector,
          Effect.map(Connector, (inner) => dyingAt(part, inner, error))
        ).pipe(Layer.provide(connectTo(database)))
      )
      yield* forAll([...resolvers, ...dying], (connector) =>
        sing(live(connector), (sinks) =>
          Effect.gen(function* () {
            const manager = yield* TenantManager
            yield* Effect.forkScoped(Effect.ignore(manager.activate(tenant)))
            yield* TestDatabase.eventually(
              "it failed",
              Effect.map(manager.status(tenant), (status) => Option.getOrUndefined(status)?.lastError !== undefined)
            )
            sinks.see(yield* manager.statuses)
          }).pipe(Effect.scoped)
        )
      )
    }).pipe(Effect.scoped)
  )

  it.live("no value or credential is shown if the database cannot be prepared, or refuses a default", () =>
    Effect.gen(function* () {
      const empty = yield* TestDatabase.make
      const role = yield* TestDatabase.makeRole
      const password = `${canary}-role`
      yield* role.alterPassword(password)
      const target = { url: empty.urlAs({ ...role, password }) }
      const refusing = yield* TestDatabase.make
      yield* Catalog.prepare(refusing)
      yield* refusing.run(
        `ALTER TABLE systemplane_entries ADD CONSTRAINT no_canary CHECK (value::text NOT LIKE '%${canary}%')`
      )
      const direct = SystemplaneReadThrough({ keys: all, bootstrap: "ensure" }).pipe(Layer.provide(connectTo(target)))
      const planes = [
        live(connectTo(target)),
        live(connectTo(target), { bootstrap: "verify" }),
        live(connectTo(refusing))
      ]
      yield* forAll(planes, (plane) =>
        sing(plane, (sinks) =>
          Effect.gen(function* () {
            const manager = yield* TenantManager
            const activated = yield* Effect.result(manager.activate(tenant))
            if (Result.isFailure(activated)) yield* sinks.failure(Effect.fail(activated.failure))
            yield* sinks.failure(Effect.provide(Config.get(ApiKey), direct))
            sinks.see(yield* manager.statuses)
          })
        )
      )
    }).pipe(Effect.scoped)
  )
})
