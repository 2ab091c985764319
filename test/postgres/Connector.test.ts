import { type AddressInfo, createServer, type Server } from "node:net"
import { assert, describe, it } from "@effect/vitest"
import { Context, Deferred, Effect, Exit, Fiber, Layer, Option, Redacted, Schema, Scope } from "effect"
import {
  Config,
  Connector,
  ConnectorError,
  EntryStore,
  type ListenSession,
  PgConnector,
  type QueryEach,
  SystemplaneLive,
  TenantId,
  TenantManager,
  withTenant
} from "effect-systemplane"
import { ConnectorErrorReason } from "../../src/schema/ConnectorError.ts"
import { Limit } from "../support/keys.ts"
import { soon } from "../support/Observe.ts"
import * as TestDatabase from "../support/TestDatabase.ts"
import * as TestPlane from "../support/TestPlane.ts"
import * as TestStore from "./TestStore.ts"
import { acme } from "./TestStore.ts"

/** A plane over a connector; what is active is activated at boot. */
const plane = <R>(connector: Layer.Layer<Connector, never, R>, tenants?: ReadonlyArray<string>) =>
  SystemplaneLive({ keys: [Limit], tenants }).pipe(Layer.provide(connector), Layer.provide(TestPlane.silent))

/** Who runs statements, and who listens, on a database. */
const users = (database: TestDatabase.TestDatabase) =>
  Effect.map(database.sessions, (sessions) => ({
    statements: [...new Set(sessions.filter(({ name }) => !name.endsWith("listen")).map(({ user }) => user))],
    listening: [...new Set(sessions.filter(({ name }) => name.endsWith("listen")).map(({ user }) => user))]
  }))

const isOfConnector = Schema.is(ConnectorErrorReason)

/** Why a statement fails, and why a listening session does. A client connects with its first statement. */
const failures = (tenant: TenantId) =>
  Effect.gen(function* () {
    const statement = yield* Effect.flip(EntryStore.use((store) => store.read(tenant, Limit)))
    if (!isOfConnector(statement.reason)) return assert.fail(statement.message)
    const session = Connector.use((connector) => Effect.scoped(connector.session(tenant)))
    return [ConnectorError.of(tenant, statement.reason, statement.address), yield* Effect.flip(session)]
  })

/** Connects for statements and for listening. Without keys, there is nothing to ask but whose database it is. */
const connect = (tenant: TenantId) =>
  Effect.gen(function* () {
    const store = yield* EntryStore
    yield* store.diff(tenant)([], [])
    yield* store.release(tenant)
    yield* Connector.use((connector) => Effect.scoped(connector.session(tenant)))
  })

const assertFailure = (error: ConnectorError, expected: Readonly<Record<string, string>>, step: string) => {
  assert.deepInclude(error.reason, expected)
  assert.strictEqual(error.step, step)
  assert.strictEqual<string>(error.tenant, "acme")
  // Whatever was tried to connect to is named.
  const at = step === "connect" ? " at \\S+" : "( at \\S+)?"
  assert.match(error.message, new RegExp(`^Tenant acme${at}, ${step}: `))
}

/** A port at which no process listens. */
const closedPort = Effect.callback<number>((resume) => {
  const server = createServer().listen(0, "127.0.0.1", () => {
    const address = server.address()
    const port = typeof address === "object" && address !== null ? address.port : 0
    server.close(() => resume(Effect.succeed(port)))
  })
})

/** An address at which something answers each client with these bytes, or closes at once. */
const answering = (bytes: string | undefined) =>
  Effect.acquireRelease(
    Effect.callback<Server>((resume) => {
      const server = createServer((socket) => {
        socket.on("error", () => {})
        if (bytes === undefined) socket.destroy()
        else socket.once("data", () => socket.write(bytes, "latin1"))
      }).listen(0, "127.0.0.1", () => resume(Effect.succeed(server)))
    }),
    (server) => Effect.sync(() => server.close())
  ).pipe(
    Effect.map((server) =>
      Redacted.make(`postgres://app@127.0.0.1:${(server.address() as AddressInfo).port}/acme?sslmode=disable`)
    )
  )

const changed = (url: Redacted.Redacted, change: (url: URL) => void) => {
  const parsed = new URL(Redacted.value(url))
  change(parsed)
  return Redacted.make(parsed.toString())
}

describe("PgConnector.layerSingle", () => {
  it.live("PgConnector.layerSingle needs no tenant: its own is activated at boot, read and written", () =>
    Effect.gen(function* () {
      const database = yield* TestDatabase.make
      yield* Effect.gen(function* () {
        assert.strictEqual(yield* Config.get(Limit), 600)
        yield* Config.set(Limit, 7, { actor: "test" })
        assert.strictEqual(yield* Config.get("rate-limits", "requests-per-minute"), 7)
        assert.strictEqual((yield* Config.list("rate-limits"))[0]?.value, 7)
        yield* database.write("rate-limits", "requests-per-minute", 8)
        yield* TestDatabase.eventually(
          "8 is seen",
          Effect.map(Config.get(Limit), (limit) => limit === 8)
        )
        assert.strictEqual(yield* database.listeners, 1)
        assert.strictEqual(yield* Config.get(Limit).pipe(withTenant("default")), 8)
      }).pipe(Effect.provide(plane(PgConnector.layerSingle({ url: database.url }))))
    }).pipe(Effect.scoped)
  )

  it.live("PgConnector.layerSingle takes an id for its tenant, and knows no other", () =>
    Effect.gen(function* () {
      const database = yield* TestDatabase.make
      yield* Effect.gen(function* () {
        assert.strictEqual(yield* Config.get(Limit), 600)
        assert.strictEqual(yield* Config.get(Limit).pipe(withTenant("acme")), 600)
        const error = yield* Effect.flip(Config.get(Limit).pipe(withTenant("default")))
        assert.strictEqual(error.reason._tag, "UnknownTenant")
      }).pipe(Effect.provide(plane(PgConnector.layerSingle({ url: database.url, tenant: acme }))))
    }).pipe(Effect.scoped)
  )
})

describe("PgConnector.layerRecord", () => {
  it.live("PgConnector.layerRecord needs a tenant, and leads each to its own database", () =>
    Effect.gen(function* () {
      const databases = { acme: yield* TestDatabase.make, globex: yield* TestDatabase.make }
      yield* Effect.gen(function* () {
        yield* databases.acme.write("rate-limits", "requests-per-minute", 1)
        yield* databases.globex.write("rate-limits", "requests-per-minute", 2)
        for (const [tenant, limit] of [
          ["acme", 1],
          ["globex", 2]
        ] as const) {
          const seen = Effect.map(Config.get(Limit).pipe(withTenant(tenant)), (value) => value === limit)
          yield* TestDatabase.eventually(`${tenant} sees ${limit}`, seen)
        }
        const error = yield* Effect.flip(Config.get(Limit))
        assert.strictEqual(error.reason._tag, "TenantMissing")
      }).pipe(Effect.provide(plane(PgConnector.layerRecord(databases), ["acme", "globex"])))
    }).pipe(Effect.scoped)
  )

  it.live("a record of databases ignores prototype keys", () =>
    Effect.gen(function* () {
      for (const tenant of ["acme", "constructor", "toString"]) {
        const errors = yield* failures(TenantId.make(tenant)).pipe(Effect.provide(TestStore.layer({})))
        for (const error of errors) {
          assert.strictEqual(error.reason._tag, "UnknownTenant")
          assert.strictEqual(error.step, "resolve")
          assert.include(error.message, `Tenant ${tenant}, resolve: `)
        }
      }
    })
  )
})

describe("PgConnector.layerTemplate", () => {
  it.live("PgConnector.layerTemplate puts the tenant in the place of {tenant}", () =>
    Effect.gen(function* () {
      const databases = [yield* TestDatabase.make, yield* TestDatabase.make]
      const names = databases.map(({ name }) => name)
      // Not through URL, which would escape the braces.
      const url = Redacted.make(Redacted.value(databases[0]!.url).replace(names[0]!, "{tenant}"))
      yield* Effect.forEach(databases, (database, n) =>
        Effect.gen(function* () {
          yield* Config.set(Limit, n + 1, { actor: "test" })
          const rows = yield* database.run("SELECT value FROM systemplane_entries")
          assert.deepStrictEqual(rows, [{ value: n + 1 }])
        }).pipe(withTenant(database.name))
      ).pipe(Effect.provide(plane(PgConnector.layerTemplate({ url }), names)))
    }).pipe(Effect.scoped)
  )

  it.live("G5: a template without the placeholder is refused, as it would lead all tenants to one database", () =>
    Effect.gen(function* () {
      const { url } = yield* TestDatabase.make
      const withPlaceholder = Redacted.make("postgres://app@127.0.0.1/{tenant}")
      for (const options of [{ url }, { url: withPlaceholder, listenUrl: url }]) {
        const errors = yield* failures(acme).pipe(Effect.provide(TestStore.over(PgConnector.layerTemplate(options))))
        for (const error of errors) {
          assertFailure(error, { _tag: "InvalidAddress", problem: "the template does not contain {tenant}" }, "resolve")
        }
      }
    }).pipe(Effect.scoped)
  )
})

class Vault extends Context.Service<
  Vault,
  { readonly passwordOf: (tenant: TenantId) => Effect.Effect<Redacted.Redacted, VaultSealed> }
>()("test/Vault") {}

class VaultSealed extends Error {
  readonly _tag = "VaultSealed"
}

describe("PgConnector.layerFrom", () => {
  it.live("PgConnector.layerFrom runs its function for every client and session: a rotated secret is met", () =>
    Effect.gen(function* () {
      const role = yield* TestDatabase.makeRole
      const database = yield* TestDatabase.make
      let inVault = role.password
      const asked: Array<string> = []
      const vault = Layer.succeed(
        Vault,
        Vault.of({
          passwordOf: (tenant) => {
            asked.push(tenant)
            return Effect.succeed(Redacted.make(inVault))
          }
        })
      )
      const url = changed(database.urlAs(role), (url) => {
        url.password = "is-not-this"
      })
      const connector = PgConnector.layerFrom((tenant) =>
        Effect.gen(function* () {
          const vault = yield* Vault
          return Option.some({ url, password: yield* vault.passwordOf(tenant) })
        })
      )
      yield* Effect.gen(function* () {
        yield* connect(acme)
        yield* role.alterPassword("second-password")
        for (const error of yield* failures(acme)) {
          assertFailure(error, { _tag: "AuthenticationFailed", code: "28P01" }, "connect")
        }
        inVault = "second-password"
        yield* connect(acme)
        assert.deepStrictEqual(
          asked,
          Array.from({ length: 6 }, () => "acme")
        )
      }).pipe(Effect.provide(TestStore.over(connector)), Effect.provide(vault))
    }).pipe(Effect.scoped)
  )

  it.live("PgConnector.layerFrom reports None as an unknown tenant, and a failure or a defect by its name alone", () =>
    Effect.gen(function* () {
      const outcomes = [
        [Effect.succeedNone, { _tag: "UnknownTenant" }],
        [Effect.fail(new VaultSealed("canary")), { _tag: "ResolverFailed", name: "VaultSealed" }],
        [Effect.die(new TypeError("canary")), { _tag: "ResolverFailed", name: "TypeError" }],
        [Effect.fail("canary"), { _tag: "ResolverFailed", name: "a string" }]
      ] as const
      for (const [outcome, expected] of outcomes) {
        const connector = PgConnector.layerFrom(
          (): Effect.Effect<Option.Option<PgConnector.PgTarget>, unknown> => outcome
        )
        for (const error of yield* failures(acme).pipe(Effect.provide(TestStore.over(connector)))) {
          assertFailure(error, expected, "resolve")
        }
      }
    })
  )
})

describe("PgTarget", () => {
  it.live("PgTarget listens at listenUrl, and runs statements at url", () =>
    Effect.gen(function* () {
      const listener = yield* TestDatabase.makeRole
      const database = yield* TestDatabase.make
      const target = { url: database.url, listenUrl: database.urlAs(listener) }
      yield* database.run("ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO PUBLIC")
      yield* Effect.gen(function* () {
        yield* Config.set(Limit, 7, { actor: "test" })
        const owner = new URL(Redacted.value(database.url)).username
        assert.deepStrictEqual(yield* users(database), { statements: [owner], listening: [listener.user] })
        yield* database.write("rate-limits", "requests-per-minute", 8)
        yield* TestDatabase.eventually(
          "8 is seen",
          Effect.map(Config.get(Limit), (limit) => limit === 8)
        )
      }).pipe(Effect.provide(plane(PgConnector.layerSingle(target))))
    }).pipe(Effect.scoped)
  )

  it.live("PgTarget prepares and reads at url also if no server answers at listenUrl", () =>
    Effect.gen(function* () {
      const database = yield* TestDatabase.make
      const target = { url: database.url, listenUrl: Redacted.make("postgres://nobody@127.0.0.1:1/nothing") }
      yield* Effect.gen(function* () {
        yield* TenantManager.use((manager) => Effect.forkScoped(Effect.ignore(manager.activate("default"))))
        yield* TestDatabase.eventually(
          "the default is seeded",
          Effect.map(
            Effect.exit(database.run("SELECT FROM systemplane_entries")),
            (rows) => Exit.isSuccess(rows) && rows.value.length > 0
          )
        )
        assert.strictEqual((yield* Config.set(Limit, 7, { actor: "test" })).value, 7)
      }).pipe(Effect.provide(plane(PgConnector.layerSingle(target), [])))
    }).pipe(Effect.scoped)
  )

  it.live("PgTarget takes its password for both addresses", () =>
    Effect.gen(function* () {
      const role = yield* TestDatabase.makeRole
      const database = yield* TestDatabase.make
      const url = changed(database.urlAs(role), (url) => {
        url.password = "is-not-this"
      })
      const target = { url, listenUrl: url, password: Redacted.make(role.password) }
      yield* connect(acme).pipe(Effect.provide(TestStore.layer({ acme: target })))
    }).pipe(Effect.scoped)
  )

  it.live("PgTarget holds no more connections for statements than maxConnections, and one that listens", () =>
    Effect.gen(function* () {
      const database = yield* TestDatabase.make
      yield* Effect.gen(function* () {
        yield* Config.set(Limit, 100, { actor: "test" })
        // So slow that one connection cannot have done all of them before another is open.
        yield* database.run(`CREATE FUNCTION slowly() RETURNS trigger LANGUAGE plpgsql AS
                             $$ BEGIN PERFORM pg_sleep(0.05); RETURN new; END $$`)
        yield* database.run(
          "CREATE TRIGGER slowly BEFORE UPDATE ON systemplane_entries FOR EACH ROW EXECUTE FUNCTION slowly()"
        )
        yield* Effect.forEach(Array.from({ length: 20 }).keys(), (n) => Config.set(Limit, n + 1, { actor: "test" }), {
          concurrency: "unbounded"
        })
        const sessions = yield* database.sessions
        assert.sameMembers(
          sessions.map(({ name }) => name),
          ["effect-systemplane", "effect-systemplane", "effect-systemplane listen"]
        )
      }).pipe(Effect.provide(plane(PgConnector.layerSingle({ url: database.url, maxConnections: 2 }))))
    }).pipe(Effect.scoped)
  )
})

describe("a pooled client", () => {
  it.live("a session that lost its prepared statements, as behind a pooler, goes back without its transaction", () =>
    Effect.gen(function* () {
      const database = yield* TestDatabase.make
      const targets = { acme: { url: database.url, maxConnections: 1 } }
      const connector = yield* Connector.pipe(Effect.provide(PgConnector.layerRecord(targets)))
      const client = yield* connector.client(acme)
      const fails = (statement: string) =>
        Effect.flip(client.withTransaction(Effect.andThen(client.unsafe(statement), client.unsafe("SELECT 1 / 0"))))
      yield* fails("SELECT 1")
      yield* fails("DEALLOCATE ALL")
      assert.deepStrictEqual(yield* client.withTransaction(client.unsafe("SELECT 2 AS n")), [{ n: 2 }])
    }).pipe(Effect.scoped)
  )

  it.live("a statement fails if its pooled client is closed, alone and in a transaction", () =>
    Effect.gen(function* () {
      const database = yield* TestDatabase.make
      const connector = yield* Connector.pipe(Effect.provide(PgConnector.layerRecord({ acme: { url: database.url } })))
      const scope = yield* Scope.make()
      const client = yield* Scope.provide(connector.client(acme), scope)
      yield* client.unsafe("SELECT 1")
      yield* Scope.close(scope, Exit.void)
      for (const statement of [client.unsafe("SELECT 1"), client.withTransaction(client.unsafe("SELECT 1"))]) {
        const exit = yield* Effect.exit(statement)
        assert.strictEqual(Option.getOrThrow(Exit.findErrorOption(exit)).reason._tag, "ConnectionError")
      }
    }).pipe(Effect.scoped)
  )
})

describe("a connector that hands out the application's own client", () => {
  it.live("G10: what a caller does inside a transaction of its own is read and written outside of it", () =>
    Effect.gen(function* () {
      const database = yield* TestDatabase.make
      const connector = yield* Connector.pipe(Effect.provide(PgConnector.layerRecord({ acme: { url: database.url } })))
      const client = yield* connector.client(acme)
      const shared = Layer.succeed(Connector, { ...connector, client: () => Effect.succeed(client) })
      yield* Effect.gen(function* () {
        const write = Config.set(Limit, 7, { actor: "ada" })
        yield* Effect.flip(client.withTransaction(Effect.andThen(write, Effect.fail("rolled back"))))
        assert.strictEqual(yield* Config.get(Limit), 7)
        const stored = database.run("SELECT value FROM systemplane_entries WHERE key = $1", [Limit.key])
        assert.deepStrictEqual(yield* stored, [{ value: 7 }])

        yield* TenantManager.use((manager) => manager.suspend(acme))
        const [read, failed] = yield* client.withTransaction(
          Effect.gen(function* () {
            yield* client`UPDATE systemplane_entries SET value = '9' WHERE key = ${Limit.key}`
            const read = yield* Config.get(Limit)
            yield* client`SAVEPOINT one`
            yield* Effect.flip(client`SELECT 1 / 0`)
            const failed = yield* Config.get(Limit)
            yield* client`ROLLBACK TO one`
            return [read, failed]
          })
        )
        assert.deepStrictEqual([read, failed], [7, 7])
      }).pipe(withTenant("acme"), Effect.provide(plane(shared, ["acme"])))
    }).pipe(Effect.scoped)
  )
})

describe("a session hands rows over as they arrive", () => {
  const onSession = <A, E>(test: (queryEach: QueryEach, session: ListenSession) => Effect.Effect<A, E>) =>
    Effect.gen(function* () {
      const database = yield* TestDatabase.make
      const session = yield* Connector.use((connector) => connector.session(acme)).pipe(
        Effect.provide(PgConnector.layerRecord({ acme: { url: database.url } }))
      )
      return yield* test(session.queryEach ?? assert.fail("it cannot"), session)
    }).pipe(Effect.scoped)

  it.live("a session hands rows over some at a time, in their order, and each once", () =>
    onSession((queryEach) =>
      Effect.gen(function* () {
        const taken: Array<unknown> = []
        let times = 0
        yield* queryEach("SELECT n FROM generate_series(1, $1::int) AS n", [50_000], (rows) => {
          times++
          taken.push(...rows)
        })
        assert.deepStrictEqual(
          taken,
          Array.from({ length: 50_000 }, (_, i) => ({ n: i + 1 }))
        )
        assert.isAbove(times, 1)
      })
    )
  )

  it.live("a session hands rows over until the statement fails: the session is as good as before", () =>
    onSession((queryEach, session) =>
      Effect.gen(function* () {
        let taken = 0
        const failing = queryEach("SELECT 1 / (50000 - n) AS n FROM generate_series(1, 50000) AS n", [], (rows) => {
          taken += rows.length
        })
        assert.strictEqual((yield* Effect.flip(failing)).reason._tag, "UnknownError")
        assert.isAbove(taken, 0)
        assert.deepStrictEqual(yield* session.query("SELECT 1 AS one"), [{ one: 1 }])
      })
    )
  )

  it.live("a session that hands rows over is abandoned if no caller waits for the rest", () =>
    onSession((queryEach, session) =>
      Effect.gen(function* () {
        const began = yield* Deferred.make<void>()
        const endless = queryEach(
          "SELECT n, pg_sleep(CASE WHEN n > 9000 THEN 60 END) FROM generate_series(1, 10000) AS n",
          [],
          () => Deferred.doneUnsafe(began, Effect.void)
        )
        const reading = yield* Effect.forkChild(endless)
        yield* Deferred.await(began)
        yield* soon("interrupting it", Fiber.interrupt(reading))
        assert.strictEqual((yield* Effect.flip(session.payloads)).reason._tag, "SessionLost")
      })
    )
  )
})

describe("a ConnectorError names the tenant, the step and the code", () => {
  const failsWith = (
    what: string,
    address: Effect.Effect<Redacted.Redacted, never, Scope.Scope>,
    step: string,
    expected: Readonly<Record<string, string>>
  ) =>
    it.live(what, () =>
      Effect.gen(function* () {
        const connector = PgConnector.layerRecord({ acme: { url: yield* address } })
        for (const error of yield* failures(acme).pipe(Effect.provide(TestStore.over(connector))))
          assertFailure(error, expected, step)
      }).pipe(Effect.scoped)
    )

  const change = (change: (url: URL) => void) => Effect.map(TestDatabase.make, ({ url }) => changed(url, change))

  failsWith(
    "for a wrong password",
    change((url) => {
      url.password = "wrong"
    }),
    "connect",
    { _tag: "AuthenticationFailed", code: "28P01" }
  )

  failsWith(
    "for an unknown role",
    change((url) => {
      url.username = "nobody_of_this_name"
    }),
    "connect",
    { _tag: "AuthenticationFailed", code: "28P01" }
  )

  failsWith(
    "for an unknown database",
    change((url) => {
      url.pathname = "/no_database_of_this_name"
    }),
    "connect",
    { _tag: "ConnectFailed", code: "3D000" }
  )

  failsWith(
    "for a port at which no process listens",
    Effect.map(closedPort, (port) => Redacted.make(`postgres://app@127.0.0.1:${port}/acme`)),
    "connect",
    { _tag: "ConnectFailed", code: "ECONNREFUSED" }
  )

  for (const [what, bytes, reason] of [
    ["HTTP", "HTTP/1.1 400 Bad Request\r\n\r\n", { _tag: "ConnectFailed", code: "NOT_POSTGRESQL" }],
    ["a message without an end", "R\x7f\xff\xff\xff", { _tag: "ConnectFailed", code: "NOT_POSTGRESQL" }],
    ["nothing before it closes", undefined, { _tag: "ConnectFailed", code: "ECONNRESET" }],
    ["with a request for a password", "R\0\0\0\x08\0\0\0\x03", { _tag: "AuthenticationFailed", problem: "NoPassword" }],
    ["with another way to log in", "R\0\0\0\x08\0\0\0\x07", { _tag: "AuthenticationFailed", problem: "Method" }],
    ["that an option is unknown", "E\0\0\0\x15SFATAL\0C42704\0M\0\0", { _tag: "ConnectFailed", code: "42704" }]
  ] as const) {
    failsWith(`for what answers ${what}`, answering(bytes), "connect", reason)
  }

  for (const address of ["db.example.com/acme", "mysql://db/acme", "postgres://db:0/acme", "postgres://%zz/acme", ""]) {
    failsWith(`for the address ${JSON.stringify(address)}`, Effect.succeed(Redacted.make(address)), "resolve", {
      _tag: "InvalidAddress"
    })
  }
})
