/**
 * How to test an `HttpApi` whose handlers read the configuration: through a typed client, with neither a server nor a
 * database.
 */
import { assert, layer } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { HttpRouter, HttpServer } from "effect/http"
import { HttpApiTest } from "effect/http-api"
import { Config, ConfigKey, withTenant } from "effect-systemplane"
import { SystemplaneMemory } from "effect-systemplane/testing"
import { LimitsApi, LimitsLive, RequestsPerMinute } from "./Limits.ts"

const Plane = SystemplaneMemory.values(
  { acme: [ConfigKey.value(RequestsPerMinute, 5)], globex: [], initech: [] },
  {
    keys: [RequestsPerMinute]
  }
)

// What handlers need of a request, `HttpRouter.provideRequest` provides; it is the one plane that the test uses as
// well.
const Handlers = LimitsLive.pipe(HttpRouter.provideRequest(Plane), Layer.provideMerge(Plane))

layer(Layer.merge(Handlers, HttpServer.layerServices))("the limits API", (it) => {
  it.effect("shows each tenant its own limit, as it is now", () =>
    Effect.gen(function* () {
      const client = yield* HttpApiTest.groups(LimitsApi, ["limits"])
      const limitOf = (tenant: string) => client.limits.current({ params: { tenant } })
      assert.deepStrictEqual(yield* limitOf("acme"), { requestsPerMinute: 5 })
      assert.deepStrictEqual(yield* limitOf("globex"), { requestsPerMinute: 600 })
      yield* Config.set(RequestsPerMinute, 7, { actor: "ada" }).pipe(withTenant("globex"))
      assert.deepStrictEqual(yield* limitOf("globex"), { requestsPerMinute: 7 })
    })
  )

  it.effect("sends an entry with its revision and freshness", () =>
    Effect.gen(function* () {
      const client = yield* HttpApiTest.groups(LimitsApi, ["limits"])
      const entry = yield* client.limits.entry({ params: { tenant: "acme" } })
      assert.deepInclude(entry, { value: 5, source: "stored", stale: false })
    })
  )

  it.effect("writes over the revision that was read, and says that another writer was first", () =>
    Effect.gen(function* () {
      const client = yield* HttpApiTest.groups(LimitsApi, ["limits"])
      const change = (requestsPerMinute: number, ifRevision: number) =>
        client.limits.change({
          params: { tenant: "initech" },
          payload: { requestsPerMinute, ifRevision, actor: "ada" }
        })
      const entry = yield* change(7, 0)
      const error = yield* Effect.flip(change(8, 0))
      assert.strictEqual(error._tag, "ConfigConflict")
      assert.strictEqual((yield* change(8, entry.revision)).value, 8)
      const refused = yield* Effect.flip(change(-1, entry.revision))
      assert.strictEqual(refused._tag, "ConfigInvalid")
    })
  )

  it.effect("says of a tenant that cannot exist only that there is none", () =>
    Effect.gen(function* () {
      const client = yield* HttpApiTest.groups(LimitsApi, ["limits"])
      const error = yield* Effect.flip(client.limits.current({ params: { tenant: "no tenant" } }))
      assert.strictEqual(error._tag, "ConfigNotFound")
    })
  )
})
