/** The small pure rules, each beside its neighbours. */
import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Exit, Option, Random, Result, Schedule, Schema } from "effect"
import { ConnectionError, SqlError, UnknownError } from "effect/sql/SqlError"
import { Ddl, KeyRegistry, Reconnect, TenantLifecycleEvent } from "effect-systemplane"
import * as PgAddress from "../../src/layers/postgres/connection/PgAddress.ts"
import * as PgFailure from "../../src/layers/postgres/connection/PgFailure.ts"
import { ConfigKey } from "../../src/schema/ConfigKey.ts"
import * as Notification from "../../src/schema/Notification.ts"
import * as Options from "../../src/schema/Options.ts"
import * as TenantId from "../../src/schema/TenantId.ts"
import { type Condition, stateOf } from "../../src/schema/TenantStatus.ts"

describe("Reconnect.schedule", () => {
  const pauses = (random: number, steps: ReadonlyArray<number>) =>
    Effect.gen(function* () {
      const step = yield* Schedule.toStep(Reconnect.schedule({ base: 500, cap: "30 seconds" }))
      const drawn: Array<number> = []
      for (let i = 0; i < 2000; i++) drawn.push(Duration.toMillis((yield* step(0, undefined))[1]))
      return steps.map((i) => drawn[i])
    }).pipe(
      Effect.provideService(Random.Random, { nextIntUnsafe: () => 0, nextDoubleUnsafe: () => random }),
      Effect.runSync
    )

  it("G11: pauses double from the base to the cap, and never overflow", () => {
    assert.deepStrictEqual(pauses(1, [0, 1, 2, 5, 6, 7, 1999]), [500, 1000, 2000, 16_000, 30_000, 30_000, 30_000])
  })

  it("G11: a pause is drawn from the whole of its bound", () => {
    assert.deepStrictEqual(
      [0, 0.5, 0.999].map((random) => pauses(random, [1])[0]),
      [0, 500, 999]
    )
  })
})

describe("TenantId", () => {
  it("TenantId is 1 to 256 letters, digits, _ and -, beginning with a letter or a digit", () => {
    for (const id of ["a", "0", "Acme_1-eu", "a".repeat(256)]) assert.isTrue(Option.isSome(TenantId.parse(id)), id)
    for (const id of ["", "-a", "_a", "a b", "a/b", "é", "a".repeat(257), "a\n", 1]) {
      assert.isTrue(Option.isNone(TenantId.parse(id)), String(id))
    }
  })

  it("TenantId is checked in lifecycle events", () => {
    const decode = Schema.decodeUnknownOption(TenantLifecycleEvent)
    assert.isTrue(Option.isSome(decode({ _tag: "TenantSuspended", tenant: "acme" })))
    assert.isTrue(Option.isNone(decode({ _tag: "TenantSuspended", tenant: "../acme" })))
    assert.isTrue(Option.isNone(decode({ _tag: "TenantRenamed", tenant: "acme" })))
  })
})

describe("Notification", () => {
  it("a notification has the names and the operation, whatever other fields the payload has", () => {
    const payload = { namespace: "n", key: "k", op: "delete" as const }
    assert.deepStrictEqual(
      Notification.decode(JSON.stringify({ ...payload, revision: 7, more: 1 })),
      Option.some(payload)
    )
    for (const text of ["", "null", "{}", `{"namespace":"n","key":"k","op":"upset"}`, `{"namespace":"n"`]) {
      assert.isTrue(Option.isNone(Notification.decode(text)), text)
    }
  })
})

describe("TenantStatus", () => {
  const live: Condition = { suspended: false, loaded: true, connected: true, failures: 0, overdue: false }

  it("the state of a tenant follows from its condition", () => {
    for (const [change, state] of [
      [{}, "live"],
      [{ connected: false }, "disconnected"],
      [{ connected: false, failures: 2 }, "disconnected"],
      [{ connected: false, failures: 3 }, "stale"],
      [{ overdue: true }, "stale"],
      [{ loaded: false, failures: 9 }, "activating"],
      [{ suspended: true }, "suspended"]
    ] as const) {
      assert.strictEqual(stateOf({ ...live, ...change }, 3), state)
    }
  })
})

describe("Options", () => {
  it("the options have the defaults of the documentation", () => {
    const { declaredBy, reconnect, ...settings } = Result.getOrThrow(Options.resolve({ keys: [] }))
    assert.isTrue(Schedule.isSchedule(reconnect))
    assert.match(declaredBy, /^.+@.+$/)
    assert.deepStrictEqual(settings, {
      boot: "settle",
      bootTimeout: 10_000,
      activation: "onDemand",
      bootstrap: "ensure",
      seedDefaults: true,
      staleAfterFailures: 3,
      maxStaleness: 30_000,
      maxEntriesPerTenant: 10_000,
      maxConcurrentActivations: 8,
      maxConnectsPerSecond: 200,
      aggregateTenantThreshold: 1000,
      drainTimeout: 5000,
      history: { keepDays: undefined, keepPerKey: undefined }
    })
  })

  it("options that make no sense are named", () => {
    for (const [option, options] of [
      ["boot", { boot: "later" as any }],
      ["bootTimeout", { bootTimeout: 0 }],
      ["bootTimeout", { bootTimeout: "soon" as any }],
      ["activation", { activation: "never" as any }],
      ["bootstrap", { bootstrap: "maybe" as any }],
      ["reconnect.base", { reconnect: { base: 0 } }],
      ["reconnect.cap", { reconnect: { base: "2 seconds", cap: "1 second" } }],
      ["staleAfterFailures", { staleAfterFailures: 0 }],
      ["maxStaleness", { maxStaleness: "999 millis" }],
      ["maxStaleness", { maxStaleness: Number.POSITIVE_INFINITY }],
      ["maxEntriesPerTenant", { maxEntriesPerTenant: -1 }],
      ["maxConnectsPerSecond", { maxConnectsPerSecond: 0 }],
      ["maxConcurrentActivations", { maxConcurrentActivations: 1.5 }],
      ["aggregateTenantThreshold", { aggregateTenantThreshold: Number.NaN }],
      ["drainTimeout", { drainTimeout: -1 }]
    ] as ReadonlyArray<readonly [string, Partial<Options.SystemplaneOptions>]>) {
      const resolved = Options.resolve({ keys: [], ...options })
      assert.isTrue(Result.isFailure(resolved) && resolved.failure.option === option, option)
    }
  })
})

describe("KeyRegistry", () => {
  const key = (name: string, defaultValue = "x") => ConfigKey.make("n", name, { schema: Schema.String, defaultValue })

  it.effect("KeyRegistry refuses two different keys under one name, and takes the same one twice", () =>
    Effect.gen(function* () {
      const a = key("a")
      assert.strictEqual((yield* KeyRegistry.make([a, key("b"), a])).keys.length, 2)
      const refused = yield* Effect.exit(KeyRegistry.make([a, key("a")]))
      assert.isTrue(Exit.hasFails(refused))
    })
  )

  it.effect("KeyRegistry sets apart the defaults that cannot be stored", () =>
    Effect.gen(function* () {
      const registry = yield* KeyRegistry.make([key("a"), key("b", "\0"), key("c")])
      assert.deepStrictEqual(
        registry.seeds.map(({ json, key }) => [key, json]),
        [
          ["a", `"x"`],
          ["c", `"x"`]
        ]
      )
      assert.deepStrictEqual(
        registry.unencodable.map(({ key }) => key),
        ["b"]
      )
    })
  )
})

describe("PgAddress", () => {
  const read = (url: string) =>
    Result.getOrThrowWith(PgAddress.parse(url), (problem) => new Error(`${url}: ${problem}`))
  const problemOf = (url: string) =>
    Result.match(PgAddress.parse(url), { onFailure: (problem) => problem, onSuccess: () => assert.fail(url) })

  it("PgAddress loses no part of a URL without a word", () => {
    assert.deepInclude(read("postgres://u@h/x?password=pa?ss&sslmode=verify-full"), {
      password: "pa?ss",
      sslMode: "verify-full"
    })
    assert.strictEqual(read("postgres://u@h/x?sslmode=disable&sslmode=verify-full").sslMode, "verify-full")
    assert.include(problemOf("postgres://u@h/x?sslrootcert=system"), "say sslmode=verify-full")
    assert.include(problemOf("postgres://u:p#w@h/x"), "write it as %23")
  })

  it("PgAddress reads a libpq URI", () => {
    for (const [url, expected] of [
      [
        "postgres://u:p@db.example.com/x",
        { address: { host: "db.example.com", port: 5432 }, user: "u", password: "p" }
      ],
      ["postgresql://db:6000", { address: { host: "db", port: 6000 }, database: undefined }],
      ["postgres:///x", { address: { host: "localhost", port: 5432 }, database: "x" }],
      ["postgres://[::1]:5/x", { address: { host: "::1", port: 5 } }],
      ["postgres://h/x?host=other&port=7", { address: { host: "other", port: 7 } }],
      ["postgres://%2Fvar%2Frun/x", { address: { path: "/var/run/.s.PGSQL.5432" }, database: "x" }],
      ["postgres://u@/db?host=/dir", { address: { path: "/dir/.s.PGSQL.5432" }, user: "u", database: "db" }],
      ["postgres://u@h/x?hostaddr=10.0.0.7", { address: { host: "10.0.0.7", port: 5432 }, host: "h" }],
      ["postgres://u%40x:p%2Fq@h/a%20b", { user: "u@x", password: "p/q", database: "a b" }],
      ["postgres://u:a b%2Fc@h/my db ", { password: "a b/c", database: "my db" }],
      ["postgres://u@h/a%23b%2Fc%3Fd%25e", { database: "a#b/c?d%e" }],
      ["postgres:///%2F?host=/dir", { database: "/" }],
      ["postgres://u@h/a/../b/\n", { database: "a/../b/" }],
      ["postgres://h/x?user=u&password=p&dbname=y", { user: "u", password: "p", database: "y" }],
      ["postgres://u@h", { user: "u", database: "u" }],
      ["postgres://u@h/x?connect_timeout=3&options=-c%20a%3Db", { connectTimeout: 3, options: "-c a=b" }],
      ["postgres://u@h/x?sslrootcert=/ca.pem&sslmode=verify-full", { files: { ca: "/ca.pem" }, sslMode: "verify-full" }]
    ] as const) {
      assert.deepInclude(read(url), expected, url)
    }
  })

  it("PgAddress prefers TLS if the URL says nothing of it, but on loopback and sockets", () => {
    for (const [url, mode] of [
      ["postgres://u@db.example/x", "prefer"],
      ["postgres://u@127.example.com/x", "prefer"],
      ["postgres://u@127.0.0.1.example.com/x", "prefer"],
      ["postgres://u@10.0.0.7/x?sslmode=allow", "prefer"],
      ["postgres://u@localhost/x", "disable"],
      ["postgres://u@127.0.0.5/x", "disable"],
      ["postgres://u@[::1]/x", "disable"],
      ["postgres://u@/x?host=/run", "disable"],
      ["postgres://u@db/x?hostaddr=127.0.0.1", "disable"],
      ["postgres://u@localhost/x?sslmode=require", "require"],
      ["postgres://u@h/x?ssl=true", "require"],
      ["postgres://u@db.example/x?sslmode=disable", "disable"]
    ] as const) {
      assert.strictEqual(read(url).sslMode, mode, url)
    }
  })

  it("G5: a URL with a name that the server would cut, counted in bytes, is refused", () => {
    const long = "é".repeat(32)
    assert.strictEqual(read(`postgres://u@h/${"a".repeat(63)}`).database?.length, 63)
    assert.include(problemOf(`postgres://u@h/${"a".repeat(64)}`), "the name of its database has 64 bytes")
    assert.include(problemOf(`postgres://u@h/${encodeURIComponent(long)}`), "64 bytes")
    assert.include(problemOf(`postgres://u@h/x?dbname=${"a".repeat(64)}`), "database")
    assert.include(problemOf(`postgres://${"a".repeat(64)}@h/x`), "the name of its user has 64 bytes")
    assert.include(problemOf(`postgres://h/x?user=${"a".repeat(64)}`), "user")
    assert.include(problemOf(`postgres://${"a".repeat(64)}@h`), "64 bytes")
  })

  it("PgAddress refuses by name what it does not support", () => {
    for (const [url, part] of [
      ["postgres://u@h/x?service=s", "service is not supported"],
      ["postgres://u@h/x?sslcrl=f", "sslcrl is not supported"],
      ["postgres://u@h/x?toString=f", "toString is not supported"],
      ["postgres://u@h/x?target_session_attrs=read-write", "target_session_attrs may only be any"],
      ["postgres://u@h/x?channel_binding=require", "channel_binding may only be"],
      ["postgres://u@h/x?client_encoding=latin1", "client_encoding may only be"],
      ["postgres://u@h1,h2/x", "several hosts"],
      ["postgres://u@h1:1,h2:2/x", "several hosts"],
      ["postgres://u@/x?host=h1,h2", "several hosts"],
      ["postgres://u@h/x?sslmode=maybe", "its sslmode is none of"],
      ["postgres://u@h/x?ssl=0", "ssl may only be true"],
      ["postgres://u@h/x?hostaddr=db", "hostaddr is not an IP address"],
      ["postgres://u@h/x?connect_timeout=soon", "connect_timeout"],
      ["postgres://u@h/x?connect_timeout=", "connect_timeout"],
      ["postgres://u@h/x?connect_timeout=1e3", "connect_timeout"],
      ["postgres://u@h/x?port=0x10", "its port is not"]
    ] as const) {
      assert.include(problemOf(url), part, url)
    }
  })

  it("PgAddress never repeats what it cannot read", () => {
    for (const url of [
      "canary",
      "http://u:canary@h",
      "postgres://u:canary@h:0/x",
      "postgres://%canary/x",
      "postgres://u:canary@h/%FF",
      "postgres://u:canary@h/x%00",
      // What stands before the slash or the question mark could as well be a host and a port.
      "postgres://u:12/canary@h/x",
      "postgres://u:12?canary&more@h/x",
      "postgres://u:12?sslmode=canary/x@h"
    ]) {
      assert.notInclude(problemOf(url), "canary", url)
    }
  })
})

describe("PgFailure", () => {
  const failure = (code: string | undefined, operation: string) =>
    PgFailure.statementFailure(
      new SqlError({
        reason: new UnknownError({ cause: Object.assign(new Error("canary"), { code }), message: "canary", operation })
      })
    )

  it("PgFailure tells what certainly did nothing from what may have", () => {
    for (const [code, tag] of [
      ["23505", "Refused"],
      ["42501", "Refused"],
      ["57014", "Refused"],
      ["40001", "Refused"],
      ["40003", "Unanswered"],
      ["57P01", "Unanswered"],
      ["08006", "Unanswered"],
      ["XX000", "Unanswered"],
      ["ECONNRESET", "Unanswered"],
      // Five capital letters, like an SQLSTATE.
      ["EPIPE", "Unanswered"],
      [undefined, "Unanswered"]
    ] as const) {
      assert.strictEqual(failure(code, "query")._tag, tag, code)
    }
    assert.strictEqual(failure("3D000", "connect")._tag, "ConnectFailed")
  })

  it("PgFailure keeps codes and drops messages, which may repeat a value", () => {
    const lost = new SqlError({ reason: new ConnectionError({ cause: new Error("canary"), operation: "query" }) })
    const errors = [
      failure("22P02", "query"),
      failure("28P01", "connect"),
      PgFailure.sessionLost(TenantId.TenantId.make("acme"), lost),
      PgFailure.listenFailure(TenantId.TenantId.make("acme"), lost)
    ]
    for (const error of errors) assert.notInclude(error.message + JSON.stringify(error), "canary")
  })
})

describe("Ddl", () => {
  it("Ddl.sql is one statement with every part, Ddl.parts one each, and Ddl.grants quotes the role", () => {
    for (const part of Ddl.parts) {
      assert.lengthOf(part.statements, 1)
      assert.include(Ddl.sql, part.name)
    }
    assert.strictEqual(Ddl.sql, Ddl.script({}))
    assert.include(Ddl.grants(`a"b`), `TO "a""b"`)
  })
})
