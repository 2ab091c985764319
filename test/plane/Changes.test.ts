import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Logger, References, Stream } from "effect"
import { Config, SystemplaneLive, TenantCache, TenantId, withTenant } from "effect-systemplane"
import * as keys from "../support/keys.ts"
import { Burst, Greeting, Limit } from "../support/keys.ts"
import * as TestDatabase from "../support/TestDatabase.ts"
import * as TestPlane from "../support/TestPlane.ts"

const { eventually } = TestDatabase
const { onAcme } = TestPlane

const limit = Config.get(Limit)

const write = (database: TestDatabase.TestDatabase, value: unknown) => database.write(Limit.namespace, Limit.key, value)

describe("changes by other writers", () => {
  it.live("G9: keys written in one transaction become visible together on PostgreSQL", () =>
    onAcme((acme) =>
      Effect.gen(function* () {
        const cache = yield* TenantCache
        const tenant = TenantId.make("acme")
        const answer = (key: typeof Limit) => cache.view(tenant)!.peek(key) as number
        let torn = 0
        let seen = 0
        let last = 0
        const reader = yield* Effect.forkScoped(
          Effect.forever(
            Effect.andThen(
              Effect.sync(() => {
                const pair = [answer(Limit), answer(Burst)] as const
                if (pair[0] === 600) return
                if (pair[0] !== pair[1]) torn++
                if (pair[0] !== last) seen++
                last = pair[0]
              }),
              Effect.yieldNow
            )
          )
        )
        for (let i = 1; i <= 300; i++) {
          yield* acme.transaction(Effect.andThen(write(acme, i), acme.write(Burst.namespace, Burst.key, i)))
        }
        yield* eventually(
          "the last pair",
          Effect.sync(() => answer(Burst) === 300)
        )
        yield* Fiber.interrupt(reader)
        assert.strictEqual(torn, 0)
        assert.isAbove(seen, 10)
      })
    )
  )
})

describe("bad rows", () => {
  it.live("G6: bad rows leave the last valid value in force, and are reported once, without the value", () =>
    Effect.gen(function* () {
      const acme = yield* TestDatabase.make
      const lines: Array<string> = []
      const logger = Logger.make((entry) => {
        lines.push(Logger.formatJson.log(entry))
      })
      yield* Effect.gen(function* () {
        yield* write(acme, 7)
        yield* eventually(
          "7",
          Effect.map(limit, (value) => value === 7)
        )
        yield* write(acme, "canary-value")
        yield* acme.write(Greeting.namespace, Greeting.key, "still here")
        yield* eventually(
          "the other key",
          Effect.map(Config.get(Greeting), (value) => value === "still here")
        )
        assert.strictEqual(yield* limit, 7)
        yield* acme.write(Greeting.namespace, Greeting.key, "and here")
        yield* eventually(
          "the other key",
          Effect.map(Config.get(Greeting), (value) => value === "and here")
        )
        const reports = lines.filter((line) => line.includes("does not fit its key's schema"))
        assert.strictEqual(reports.length, 1)
        assert.include(reports[0]!, "acme")
        assert.include(reports[0]!, `${Limit.namespace}/${Limit.key}`)
        assert.notInclude(lines.join("\n"), "canary-value")
        yield* write(acme, 8)
        yield* eventually(
          "8",
          Effect.map(limit, (value) => value === 8)
        )
      }).pipe(
        withTenant("acme"),
        Effect.provide(TestPlane.over({ acme }, SystemplaneLive({ keys: keys.all, tenants: ["acme"] }))),
        Effect.provideService(References.MinimumLogLevel, "All"),
        Effect.provide(Logger.layer([logger]))
      )
    })
  )
})

describe("isolation", () => {
  it.live("G5: two tenants with the same keys never see each other's values under concurrent writers", () =>
    Effect.gen(function* () {
      const databases = { acme: yield* TestDatabase.make, globex: yield* TestDatabase.make }
      const tenants = ["acme", "globex"] as const
      yield* Effect.gen(function* () {
        const wrong: Array<string> = []
        const check = (tenant: string, value: string) => {
          if (value !== "hello" && !value.startsWith(`${tenant} `)) wrong.push(`${tenant} saw ${value}`)
        }
        yield* Config.onChange(Greeting, (change) => Effect.sync(() => check(change.tenant, change.value)))
        for (const tenant of tenants) {
          yield* Effect.forkScoped(
            Stream.runForEach(Config.watch(Greeting), (entry) => Effect.sync(() => check(tenant, entry.value))).pipe(
              withTenant(tenant)
            )
          )
        }
        const work = (tenant: (typeof tenants)[number]) =>
          Effect.forEach(
            Array.from({ length: 150 }, (_, i) => i),
            (i) =>
              Effect.gen(function* () {
                const value = `${tenant} ${i}`
                if (i % 2 === 0) yield* databases[tenant].write(Greeting.namespace, Greeting.key, value)
                else yield* Config.set(Greeting, value, { actor: tenant })
                check(tenant, yield* Config.get(Greeting))
              })
          ).pipe(withTenant(tenant))
        yield* Effect.all(tenants.map(work), { concurrency: "unbounded" })
        for (const tenant of tenants) {
          yield* eventually(
            `${tenant} converged`,
            Effect.map(Config.get(Greeting), (value) => value === `${tenant} 149`).pipe(withTenant(tenant))
          )
        }
        assert.deepStrictEqual(wrong, [])
      }).pipe(Effect.provide(TestPlane.layer(databases)))
    })
  )
})
