/** What a connector says before any server is asked. */
import { assert, describe, it } from "@effect/vitest"
import { Data, Effect, Fiber, type Layer, Option, Redacted } from "effect"
import { TestClock } from "effect/testing"
import { Connector, type ConnectorError, PgConnector, TenantId } from "effect-systemplane"

const acme = TenantId.make("acme")

/** In every place that could be repeated by mistake. */
const canary = "canary"

class VaultSealed extends Data.TaggedError("VaultSealed")<{ readonly message: string }> {}

/** Why there is no session, and no client: both say the same. */
const failure = (layer: Layer.Layer<Connector>, tenant = acme): Effect.Effect<ConnectorError> =>
  Effect.gen(function* () {
    const connector = yield* Connector
    const session = yield* Effect.flip(Effect.scoped(connector.session(tenant)))
    const client = yield* Effect.flip(Effect.scoped(connector.client(tenant)))
    assert.deepStrictEqual(client, session)
    for (const text of [session.message, String(session), JSON.stringify(session), session.stack ?? ""]) {
      assert.notInclude(text, canary)
    }
    return session
  }).pipe(Effect.provide(layer), Effect.orDie)

const resolvedBy = <E>(resolve: Effect.Effect<Option.Option<PgConnector.PgTarget>, E>) =>
  PgConnector.layerFrom(() => resolve)

const at = (url: string): PgConnector.PgTarget => ({ url: Redacted.make(url) })

describe("resolving a tenant", () => {
  it.effect("an unknown tenant's error names the tenant, and says what to do", () =>
    Effect.gen(function* () {
      for (const layer of [
        PgConnector.layerRecord({ globex: at(`postgres://${canary}@db/globex`) }),
        PgConnector.layerSingle({ ...at(`postgres://${canary}@db/globex`), tenant: TenantId.make("globex") }),
        resolvedBy(Effect.succeedNone)
      ]) {
        const error = yield* failure(layer)
        assert.deepInclude(error, { tenant: acme, step: "resolve" })
        assert.strictEqual(error.reason._tag, "UnknownTenant")
        assert.match(error.message, /^Tenant acme, resolve: .*add it to the connector's record, or check the id$/)
      }
    })
  )

  it.effect("resolving a tenant ignores the members that every object has", () =>
    Effect.gen(function* () {
      for (const name of ["constructor", "toString", "hasOwnProperty"]) {
        const error = yield* failure(PgConnector.layerRecord({}), TenantId.make(name))
        assert.strictEqual(error.reason._tag, "UnknownTenant")
      }
    })
  )

  it.effect("resolving a tenant by a function that fails or dies shows the name of the error, and never its text", () =>
    Effect.gen(function* () {
      for (const [resolve, name] of [
        [Effect.fail(new VaultSealed({ message: canary })), "VaultSealed"],
        [Effect.fail(new TypeError(canary)), "TypeError"],
        [Effect.fail(canary), "a string"],
        [Effect.fail({ password: canary }), "an object"],
        [Effect.fail({ _tag: { password: canary } }), "an object"],
        [Effect.die(new RangeError(canary)), "RangeError"],
        [
          Effect.sync(() => {
            throw new SyntaxError(canary)
          }),
          "SyntaxError"
        ]
      ] as ReadonlyArray<readonly [Effect.Effect<Option.Option<PgConnector.PgTarget>, unknown>, string]>) {
        const { reason } = yield* failure(resolvedBy(resolve))
        assert.deepInclude(reason, { _tag: "ResolverFailed", name })
      }
    })
  )

  it.effect("a resolver takes 10 seconds at most, by the caller's clock", () =>
    Effect.gen(function* () {
      const asked = yield* Effect.forkChild(
        Connector.use((connector) => Effect.flip(Effect.scoped(connector.session(acme)))).pipe(
          Effect.provide(resolvedBy(Effect.never))
        )
      )
      yield* TestClock.adjust("9999 millis")
      assert.isUndefined(asked.pollUnsafe())
      yield* TestClock.adjust("1 millis")
      assert.deepInclude((yield* Fiber.join(asked)).reason, { _tag: "ResolverFailed", name: "a timeout" })
    })
  )

  it.effect("a resolver is interrupted with its caller, which does not count as its failure", () =>
    Effect.gen(function* () {
      let interrupted = false
      const resolve = Effect.onInterrupt(Effect.never, () =>
        Effect.sync(() => {
          interrupted = true
        })
      )
      const asked = yield* Connector.use((connector) => Effect.scoped(connector.session(acme))).pipe(
        Effect.provide(resolvedBy(resolve)),
        Effect.forkChild({ startImmediately: true })
      )
      yield* Effect.yieldNow
      yield* Fiber.interrupt(asked)
      assert.isTrue(interrupted)
    })
  )

  it.effect("G12: a resolver that cannot be interrupted keeps its caller no longer than one that can", () =>
    Effect.gen(function* () {
      const hanging = resolvedBy(Effect.scoped(Effect.acquireRelease(Effect.never, () => Effect.void)))
      const ask = Connector.use((connector) => Effect.flip(Effect.scoped(connector.session(acme)))).pipe(
        Effect.provide(hanging),
        Effect.forkChild({ startImmediately: true })
      )
      const [asked, abandoned] = [yield* ask, yield* ask]
      yield* Fiber.interrupt(abandoned)
      yield* TestClock.adjust("10 seconds")
      assert.deepInclude((yield* Fiber.join(asked)).reason, { _tag: "ResolverFailed", name: "a timeout" })
    })
  )

  it.effect("G13: a resolver that interrupts itself failed, and its caller is not interrupted", () =>
    Effect.gen(function* () {
      const interrupted = yield* Effect.forkChild(Effect.never, { startImmediately: true })
      yield* Fiber.interrupt(interrupted)
      for (const resolve of [Effect.interrupt, Fiber.join(interrupted)]) {
        const { reason } = yield* failure(resolvedBy(resolve))
        assert.deepInclude(reason, { _tag: "ResolverFailed", name: "an interruption" })
      }
    })
  )

  it.effect("resolving a tenant is done anew for every client and session", () =>
    Effect.gen(function* () {
      const asked: Array<TenantId> = []
      const layer = PgConnector.layerFrom((tenant) => {
        asked.push(tenant)
        return Effect.succeedNone
      })
      yield* failure(layer)
      yield* failure(layer, TenantId.make("globex"))
      assert.deepStrictEqual<ReadonlyArray<string>>(asked, ["acme", "acme", "globex", "globex"])
    })
  )
})

describe("an address that cannot be used", () => {
  const invalid = (layer: Layer.Layer<Connector>) =>
    Effect.map(failure(layer), ({ reason }) => (reason._tag === "InvalidAddress" ? reason.problem : reason._tag))

  it.effect("an address that cannot be used is told apart, and never repeated", () =>
    Effect.gen(function* () {
      const shape = "it is not a URL of the form postgres://user@host:port/database"
      for (const [url, problem] of [
        ["", "it is empty; is the variable set that it is read from?"],
        [" ", "it is empty; is the variable set that it is read from?"],
        [canary, shape],
        [`postgres://u:${canary}@[::1/x`, shape],
        [`postgres://%${canary}/x`, shape],
        [`postgres://u:${canary}@h:99999/x`, shape],
        [`mysql://u:${canary}@h/x`, "it does not begin with postgres:// or postgresql://"],
        [`postgres://u:${canary}@h/x?port=0`, "its port is not between 1 and 65535"]
      ] as const) {
        assert.strictEqual(yield* invalid(PgConnector.layerRecord({ acme: at(url) })), problem, url)
        if (url.trim() === "") assert.strictEqual(yield* invalid(PgConnector.layerTemplate(at(url))), problem, url)
      }
    })
  )

  it.effect("G5: a template that would lead all tenants to one database is refused, to listen or for statements", () =>
    Effect.gen(function* () {
      const [good, bad] = [`postgres://${canary}@db/t_{tenant}`, `postgres://${canary}@db/shared`]
      for (const target of [at(bad), { ...at(good), listenUrl: Redacted.make(bad) }]) {
        assert.strictEqual(yield* invalid(PgConnector.layerTemplate(target)), "the template does not contain {tenant}")
      }
    })
  )

  it.effect("a listenUrl that cannot be used does not concern statements", () =>
    Effect.gen(function* () {
      const connector = yield* Connector
      // A client connects with its first statement.
      yield* Effect.scoped(connector.client(acme))
      const error = yield* Effect.flip(Effect.scoped(connector.session(acme)))
      assert.strictEqual(error.reason._tag, "InvalidAddress")
    }).pipe(
      Effect.provide(
        PgConnector.layerRecord({ acme: { ...at("postgres://127.0.0.1:1/x"), listenUrl: Redacted.make(canary) } })
      )
    )
  )

  it.effect("a template may name the tenant in every place of an address", () =>
    Effect.gen(function* () {
      // Port 1, at which no process listens; a placeholder that was left would be no port.
      const connector = yield* Connector
      const error = yield* Effect.flip(Effect.scoped(connector.session(TenantId.make("1"))))
      assert.deepInclude(error.reason, { _tag: "ConnectFailed", code: "ECONNREFUSED" })
      assert.strictEqual(error.step, "connect")
    }).pipe(Effect.provide(PgConnector.layerTemplate(at("postgres://{tenant}@127.0.0.1/{tenant}?port={tenant}"))))
  )
})

describe("the one tenant of an application", () => {
  const sole = (layer: Layer.Layer<Connector>) =>
    Connector.use((connector) => Effect.succeed(Option.getOrUndefined(connector.sole))).pipe(Effect.provide(layer))

  it.effect("the one tenant of layerSingle is called default unless it is named", () =>
    Effect.gen(function* () {
      assert.strictEqual<string | undefined>(yield* sole(PgConnector.layerSingle(at("postgres://db/x"))), "default")
      const named = PgConnector.layerSingle({ ...at("postgres://db/x"), tenant: acme })
      assert.strictEqual(yield* sole(named), acme)
      for (const layer of [
        PgConnector.layerRecord({ acme: at("postgres://db/x") }),
        PgConnector.layerTemplate(at("postgres://db/{tenant}")),
        resolvedBy(Effect.succeedNone)
      ]) {
        assert.isUndefined(yield* sole(layer))
      }
    })
  )
})
