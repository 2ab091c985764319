/** The small pure rules, each beside its neighbours. */
import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Exit, Option, Random, Result, Schedule, Schema } from "effect"
import { ConnectionError, SqlError, UnknownError } from "effect/sql/SqlError"
import { Ddl, KeyRegistry, Reconnect, TenantLifecycleEvent } from "effect-systemplane"
import * as PgAddress from "../../src/layers/postgres/PgAddress.ts"
import * as PgFailure from "../../src/layers/postgres/PgFailure.ts"
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
  it("is 1 to 256 letters, digits, _ and -, beginning with a letter or a digit", () => {
    for (const id of ["a", "0", "Acme_1-eu", "a".repeat(256)]) assert.isTrue(Option.isSome(TenantId.parse(id)), id)
    for (const id of ["", "-a", "_a", "a b", "a/b", "é", "a".repeat(257), "a\n", 1]) {
      assert.isTrue(Option.isNone(TenantId.parse(id)), String(id))
    }
  })

  it("is checked in lifecycle events", () => {
    const decode = Schema.decodeUnknownOption(TenantLifecycleEvent)
    assert.isTrue(Option.isSome(decode({ _tag: "TenantSuspended", tenant: "acme" })))
    assert.isTrue(Option.isNone(decode({ _tag: "TenantSuspended", tenant: "../acme" })))
    assert.isTrue(Option.isNone(decode({ _tag: "TenantRenamed", tenant: "acme" })))
  })
})

describe("Notification", () => {
  it("tolerates more fields and no revision, and nothing else", () => {
    const payload = { namespace: "n", key: "k", op: "delete" as const }
    assert.deepStrictEqual(Notification.decode(JSON.stringify({ ...payload, more: 1 })), Option.some(payload))
    for (const text of ["", "null", "{}", `{"namespace":"n","key":"k","op":"upset"}`, `{"namespace":"n"`]) {
      assert.isTrue(Option.isNone(Notification.decode(text)), text)
    }
  })
})

describe("TenantStatus", () => {
  const live: Condition = { suspended: false, loaded: true, connected: true, failures: 0, overdue: false }

  it("follows from the condition", () => {
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
  it("have the defaults of the documentation", () => {
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

  it("that make no sense are named", () => {
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

  it.effect("refuses two different keys under one name, and takes the same one twice", () =>
    Effect.gen(function* () {
      const a = key("a")
      assert.strictEqual((yield* KeyRegistry.make([a, key("b"), a])).keys.length, 2)
      const refused = yield* Effect.exit(KeyRegistry.make([a, key("a")]))
      assert.isTrue(Exit.hasFails(refused))
    })
  )

  it.effect("sets apart the defaults that cannot be stored", () =>
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
  it("reads a libpq URI", () => {
    for (const [url, address] of [
      ["postgres://u:p@db.example.com/x", { host: "db.example.com", port: 5432 }],
      ["postgresql://db:6000", { host: "db", port: 6000 }],
      ["postgres:///x", { host: "localhost", port: 5432 }],
      ["postgres://[::1]:5/x", { host: "::1", port: 5 }],
      ["postgres://h/x?host=other&port=7", { host: "other", port: 7 }],
      ["postgres://%2Fvar%2Frun/x", { path: "/var/run/.s.PGSQL.5432" }]
    ] as const) {
      assert.deepStrictEqual(PgAddress.parse(url), Result.succeed(address), url)
    }
  })

  it("never repeats what it cannot read", () => {
    for (const url of ["canary", "http://u:canary@h", "postgres://u:canary@h:0/x", "postgres://%canary/x"]) {
      const parsed = PgAddress.parse(url)
      assert.isTrue(Result.isFailure(parsed) && !parsed.failure.includes("canary"), url)
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

  it("tells what certainly did nothing from what may have", () => {
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

  it("keeps codes and drops messages, which may repeat a value", () => {
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
  it("is one statement with every part, as a pipeline that runs one at a time wants it, and quotes the role", () => {
    for (const part of Ddl.parts) {
      assert.lengthOf(part.statements, 1)
      assert.include(Ddl.sql, part.name)
    }
    assert.strictEqual(Ddl.sql, Ddl.script({}))
    assert.include(Ddl.grants(`a"b`), `TO "a""b"`)
  })
})
